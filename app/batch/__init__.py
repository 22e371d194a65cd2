"""One micro-batch from begin to commit; read it in the order of process.py.

Called by the stream and by dry runs; `clean` shares its removal of leftovers.
"""
