"""The star schema as data: facts, dimensions and marts, and how rows are counted.

Plain values and Arrow; no database, no S3, no Spark.
"""
