"""Orders: intake at the gate, sending, resolving, fills, cancels, account sweeps.

Read in this order: ``intake`` (intent → decision → order), ``sending`` (the protocol),
``resolving`` (what became of it), ``fills`` (what it changed), ``sync`` and ``sweeper``.
"""
