"""All SQL, and the kline store."""
