"""BaseStrategy, Signal, parameters, registry, loader and the built-in strategies."""
