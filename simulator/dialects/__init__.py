"""The dialects in which the simulated exchange speaks."""
