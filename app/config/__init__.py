"""One YAML file for each environment, variables and encrypted values in it, all faults at once.

Everybody may read it; it imports nothing but errors.py.
"""
