"""Tests of market data and the edge to exchanges."""
