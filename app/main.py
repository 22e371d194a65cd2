"""The file that spark-submit runs; everything else begins in app/cli/app.py."""

import sys
from pathlib import Path

# spark-submit puts this file's folder first on the path, where our modules would stand as top-level ones.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from app.cli.app import main  # noqa: E402 - needs the path set above

if __name__ == "__main__":
    sys.exit(main())
