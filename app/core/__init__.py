"""The domain, deterministic: no clock, network, database or settings."""
