"""TA-Lib and user indicators behind one registry."""
