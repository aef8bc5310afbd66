"""One router file per resource."""
