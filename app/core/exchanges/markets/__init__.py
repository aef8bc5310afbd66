"""Public market data of venues, one file for each venue."""
