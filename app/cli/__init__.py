"""The `tidemark` command: one file per command group."""
