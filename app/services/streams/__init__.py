"""Live streams: market feeds and user data, shared by the processes that run them.

``wanted`` (what the rows ask for), ``leases`` (who holds what), ``service`` (brings the two
together), ``lines`` (one socket: open, watch, open again), ``market`` and ``user`` (what runs
over it), ``klines``, ``prices`` and ``reports`` (what becomes of what arrives).
"""
