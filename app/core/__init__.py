"""The domain: deterministic, with no clock, network, database or settings."""
