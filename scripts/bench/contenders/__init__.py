"""One module for each of those that are compared."""
