"""What the benchmarks of the full stack share."""
