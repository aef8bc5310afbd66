"""Instruments, intervals and grids, klines, validation, coverage, resampling, rounding."""
