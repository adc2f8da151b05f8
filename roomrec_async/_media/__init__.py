"""One recording's media: its URL, and its download."""
