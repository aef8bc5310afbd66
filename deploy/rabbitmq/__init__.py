"""The broker's users, rights and limits."""
