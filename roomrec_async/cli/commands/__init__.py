"""The commands of ``roomrec``, one per module."""
