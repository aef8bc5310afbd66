"""What the tests, the benchmarks and `make services` share."""
