"""Implementations of the ports: queue, bus, prices, budget, vault, notifier."""
