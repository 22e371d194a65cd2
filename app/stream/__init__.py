"""The life of the query: start, recovery, restarts, stop, and the work beside the batches.

Called by the command `run`.
"""
