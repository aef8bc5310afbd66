"""``tidemark system backup`` and ``restore``."""
