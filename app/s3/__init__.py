"""Requests to S3: read, write, list, upload.

The only folder that imports an S3 client.
"""
