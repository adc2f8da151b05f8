"""What of the public API would break programs that were written for another version."""
