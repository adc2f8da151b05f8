"""Check of the public API against earlier versions."""
