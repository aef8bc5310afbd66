"""`make soak`: the full stack under a steady load while its parts are killed, for an hour."""
