"""The file that spark-submit runs; everything else begins in app/cli/app.py."""

import os
import sys
from contextlib import suppress
from pathlib import Path

# spark-submit puts this file's folder first on the path, where our modules would stand as top-level ones.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from app.cli.app import main  # noqa: E402 - needs the path set above
from app.lifeline import end_with_jvm  # noqa: E402


def leave_code(code: int) -> None:
    """Write the exit code where app.launch finds it, should the JVM be killed before it hands the code on."""
    path = os.environ.get("SALESTREAM_DRIVER_CODE_FILE")
    if path:
        with suppress(OSError):
            Path(path).write_text(str(code))


if __name__ == "__main__":
    end_with_jvm()
    exit_code = main()
    leave_code(exit_code)
    sys.exit(exit_code)
