"""Risk rules and the gate that every order passes."""
