"""The embedded servers: a real S3 (S3Proxy) and a real MySQL-protocol server (MariaDB), without Docker and without root.

Called by the command `local`, by tests and scripts.
Whether a server runs is read from /proc, never from a pid file: each process carries an argument that names its home, and
nothing else does. So there are no stale pids, a reused pid is never killed, and a start cut off anywhere is found again.
"""

from app.local.servers import down, greet, is_up, root_connection_args, up
from app.local.state import LocalEnv, home, read_env

__all__ = ["LocalEnv", "down", "greet", "home", "is_up", "read_env", "root_connection_args", "up"]
