"""Lists of recordings: one room, many rooms, the whole account."""
