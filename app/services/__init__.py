"""Use-cases, one file per area. Services receive ports as arguments."""
