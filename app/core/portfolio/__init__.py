"""Double-entry ledger, positions, PnL and valuation."""
