"""`python -m app.local up|down|env`: the embedded servers without the rest of the command line."""

from __future__ import annotations

import sys

from app.errors import PipelineError, UsageError
from app.local import down, home, read_env, up


def main(arguments: list[str]) -> int:
    """Run one command and tell the exit code."""
    folder = home()
    if arguments == ["up"]:
        env = up(folder)
        sys.stdout.write(f"S3 {env.endpoint_url} bucket {env.bucket}\n")
        sys.stdout.write(f"MySQL {env.mysql_host}:{env.mysql_port} database {env.mysql_database}\n")
    elif arguments == ["down"]:
        sys.stdout.write("stopped\n" if down(folder) else "nothing was running\n")
    elif arguments == ["env"]:
        known = read_env(folder)
        if known is None:
            raise UsageError(f"there are no servers in {folder}", cure="start them: python -m app.local up")
        sys.stdout.write(known.exports())
    else:
        raise UsageError("a command is needed", cure="python -m app.local up|down|env")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except PipelineError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(exc.exit_code)
