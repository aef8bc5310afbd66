"""Order types, state machine, intent and client order ids."""
