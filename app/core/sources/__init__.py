"""Data sources: what an author writes to bring any other series in, and what is made of it."""
