"""Connections, transactions, retries and migrations of MySQL.

The only folder that imports a MySQL driver.
"""
