"""Bytes to rows: encodings, headers, records, quotes, line numbers.

Pure, so anybody may call it; it imports nothing of the project.
"""
