"""HTTP edge: one router file per resource. No business rules, no SQL."""
