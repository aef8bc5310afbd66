"""Strategies: catalogue and versions, instances, and their evaluation."""
