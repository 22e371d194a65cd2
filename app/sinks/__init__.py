"""Write what a batch yields: Parquet parts, staged deltas and marts; move finished files to the archive.

Called by batch/ and, for the archive, by stream/.
"""
