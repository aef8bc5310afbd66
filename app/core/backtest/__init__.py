"""Backtest engine, metrics and report."""
