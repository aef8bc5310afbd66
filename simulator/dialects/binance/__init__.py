"""Binance spot: REST, market streams and the WebSocket API."""
