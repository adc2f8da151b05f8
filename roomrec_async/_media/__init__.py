"""Media of one recording: its signed URL, its download and its deletion."""
