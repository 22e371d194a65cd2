"""Read-only looks for people: files, one file's history, facts, quarantine, status.

Called by whatever shows something; a view never writes.
"""
