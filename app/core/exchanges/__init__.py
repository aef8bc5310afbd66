"""ccxt adapters to venues: the one I/O edge of the core."""
