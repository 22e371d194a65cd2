"""Set-up takes Java 17 and whatever is newer, and says what to install where it is older or missing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[3] / "scripts" / "setup.sh"


def check_java(tmp_path: Path, says: str | None) -> tuple[int, str]:
    """Run the script's own check with a Java that says so; None: there is none."""
    text = SETUP.read_text(encoding="utf-8")
    functions = text[: text.rindex("\nmain ")]
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    if says is not None:
        java.write_text(f"#!/bin/sh\nprintf '%s\\n' '{says}' >&2\n")
        java.chmod(0o755)
    script = tmp_path / "scripts" / "setup.sh"
    script.parent.mkdir()
    script.write_text(f'{functions}\ncheck_java\necho "uses $JAVA"\n')
    environ = {"PATH": "/usr/bin:/bin", "JAVA_HOME": str(tmp_path)}
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, env=environ, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "says",
    [
        'openjdk version "17.0.15" 2025-04-15',
        'openjdk version "21.0.8" 2025-07-15',
        'java version "25" 2025-09-16 LTS',
        'openjdk version "21-ea" 2023',
    ],
)
def test_java_17_and_newer_will_do(tmp_path: Path, says: str) -> None:
    assert check_java(tmp_path, says) == (0, f"uses {tmp_path}/bin/java\n")


@pytest.mark.parametrize("says", ['openjdk version "11.0.2" 2019-01-15', 'java version "1.8.0_402"', "no java at all"])
def test_an_older_java_is_refused_with_what_to_install(tmp_path: Path, says: str) -> None:
    code, said = check_java(tmp_path, says)
    assert code == 2
    assert said.startswith(f"MACHINE Java 17 or newer is needed, but {tmp_path}/bin/java is {says}")
    assert "install a newer one" in said


def test_no_java_is_said_with_what_to_install(tmp_path: Path) -> None:
    code, said = check_java(tmp_path, None)
    assert code == 2
    assert "install Java 17 or newer" in said
