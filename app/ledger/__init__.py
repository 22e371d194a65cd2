"""The states of files, batches, attempts, parts and operations in MySQL, and every transition between them.

Whoever writes here first proves its epoch; each function is one transaction or runs inside one.
"""
