"""Find files on S3, claim them for a batch, and read their bytes into typed rows; read the dimension tables.

Called by Spark's planner process, by batch/ and by the workers.
"""
