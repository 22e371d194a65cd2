"""What people ask for: which files, the request in the ledger, its dry run, its progress.

Called by the commands; the stream carries the requests out.
"""
