"""Implementations of the ports: queue, bus, prices, budget, clocks, vault."""
