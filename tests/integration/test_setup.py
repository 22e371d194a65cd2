"""scripts/setup.sh on a clone whose pip only notes what it is asked for: what is installed for a deployment, and what is added to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from app.config.reading import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

# In .venv/bin: any Python that is asked whether it is at home says yes.
STAND_IN = "#!/bin/bash\nexit 0\n"
PIP = '#!/bin/bash\nprintf "%s\\n" "${@: -1}" >>"${0%/*}/asked"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone that has Spark's packages and the embedded servers, and no Python package."""
    root = tmp_path / "clone"
    (root / ".venv/bin").mkdir(parents=True)
    for name, text in (("python", STAND_IN), ("pip", PIP)):
        (root / ".venv/bin" / name).write_text(text)
        (root / ".venv/bin" / name).chmod(0o755)
    (root / "scripts").symlink_to(REPOSITORY / "scripts")
    for name in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(REPOSITORY / name, root)
    for folder, stamp, of in (
        ("ivy", ".stamp", '. scripts/packages.sh && spark_packages_stamp "$PWD"'),
        ("servers", ".stamp", 'sha256sum "$PWD"/scripts/{packages.sh,ivy/ivysettings.xml,unpack_servers.py} | sha256sum | cut -d" " -f1'),
    ):
        (root / ".cache" / folder).mkdir(parents=True)
        (root / ".cache" / folder / stamp).write_text(subprocess.check_output(["bash", "-c", of], cwd=root, text=True))
    return root


def set_up(root: Path, parts: str | None) -> tuple[int, str, list[str]]:
    """Run the set-up; return its exit code, what it said, and which files pip was asked to install."""
    asked = root / ".venv/bin/asked"
    asked.unlink(missing_ok=True)
    kept = {name: value for name, value in os.environ.items() if name != "SALESTREAM_SETUP"}
    environment = kept | ({"SALESTREAM_SETUP": parts} if parts is not None else {})
    done = subprocess.run([root / "scripts/setup.sh"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr, [Path(line).name for line in asked.read_text().split()] if asked.exists() else []


def test_a_deployment_gets_no_tools_and_each_file_of_pins_is_installed_when_it_changes(clone: Path) -> None:
    code, said, asked = set_up(clone, "runtime")
    assert (code, asked) == (0, ["requirements.txt"]), said
    assert set_up(clone, "runtime")[::2] == (0, [])
    assert set_up(clone, None)[::2] == (0, ["requirements-dev.txt"])
    assert set_up(clone, None)[::2] == (0, [])
    with (clone / "requirements-dev.txt").open("a") as pins:
        pins.write("more==1\n")
    assert set_up(clone, "runtime")[::2] == (0, [])
    assert set_up(clone, None)[::2] == (0, ["requirements-dev.txt"])


def test_parts_that_do_not_exist_are_refused_before_anything_is_done(clone: Path) -> None:
    code, said, asked = set_up(clone, "everything")
    assert (code, asked) == (2, [])
    assert said == 'MACHINE SALESTREAM_SETUP is "everything"; set it to runtime, or leave it out for everything\n'
