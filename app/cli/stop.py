"""The command `stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.options import Debug, Env, configuration

stop_app = typer.Typer()


@stop_app.command(epilog="Example: ./spark-submit.sh stop --wait 60")
def stop(
    env: Env = "dev",
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait", min=0, help="Wait so many seconds for its end, 0: only ask; stream.stop_timeout_seconds and a heartbeat otherwise."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Ask the running stream to finish its micro-batch and end with code 0; works from any machine. Without a stream nothing is done.

    Exit code 0: it has ended, or none is running. 1: it has not ended in time, or nothing is heard of it any more.
    """
    from app.cli.request import requester
    from app.mysql.database import Database
    from app.mysql.migrations import require_current
    from app.operations.stop import stop_stream

    config = configuration(env)
    db = Database(config.mysql)
    require_current(db)
    takeover = config.stream.takeover_seconds
    seconds = config.stream.stop_timeout_seconds + takeover if wait is None else wait
    print(f"stop: {stop_stream(db, takeover, requester(), seconds)}")
