"""Use-cases, one file per area; what they need is handed to them as ports."""
