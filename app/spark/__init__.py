"""The Spark session and what is particular to Spark: settings, worker processes, its errors in our words.

Called by whatever runs a job; it knows nothing of files and batches.
"""
