"""Request and response models of the HTTP API; the CLI's ``--json`` prints the same."""
