"""Market history from and to files: columns, their validation, readers and writers.

A bar is never a Python object here: a chunk of at most 50,000 bars is a handful of Arrow
columns. Amounts are text all the way, as exact as the file was.
"""
