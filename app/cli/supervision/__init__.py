"""Keeps a table of processes running: `table` says which, `supervisor` watches them.

Children are started through `launcher`, so that they end with their supervisor however it ends.
"""
