"""HTTP: the only folder that sends requests."""
