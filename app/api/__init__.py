"""The HTTP edge: one router per resource. No business rules, no SQL."""
