"""Commands of the terminal: one verb each, with its options, its output and its exit code.

Only main.py starts it; nobody else imports it.
"""
