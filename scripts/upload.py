#!/usr/bin/env python3
"""Upload a local folder below the source prefix; the same as `./spark-submit.sh upload DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(argv: list[str] | None = None) -> int:
    """Upload the folder named on the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="its files keep their path below it")
    parser.add_argument("--env", default="dev", help="environment: a file in conf/ (dev)")
    parser.add_argument("--threads", type=int, choices=range(1, 65), default=8, metavar="1..64", help="uploads at the same time (8)")
    args = parser.parse_args(argv)

    # Below the arguments: --help then needs no environment.
    from app import local
    from app.config.load import home_of, load_config
    from app.errors import PipelineError
    from app.s3.read import make_client
    from app.s3.upload import upload_folder

    try:
        found = local.read_env(home_of())
        s3 = load_config(args.env, defaults=found.variables() if found else {}).s3
        summary = upload_folder(make_client(s3), s3.bucket, s3.source_prefix, args.folder, threads=args.threads)
    except PipelineError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt:
        print("interrupted; files that are up stay up", file=sys.stderr)
        return 130
    print("\n".join(summary.lines()))
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(main())
