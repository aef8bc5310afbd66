"""The tables, one file per aggregate."""
