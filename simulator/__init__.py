"""An exchange on loopback that speaks real exchanges' dialects."""
