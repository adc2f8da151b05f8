"""The commands of ``roomrec``, one module each."""
