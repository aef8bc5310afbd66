"""Tokens and the key vault."""
