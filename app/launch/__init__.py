"""What spark-submit.sh ends in: it starts Spark's JVM, hands signals on, and leaves nothing behind.

Called by spark-submit.sh alone. It imports the standard library and `app.lifeline`, as it is loaded before anything else at every start.
"""
