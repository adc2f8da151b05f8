"""What is drawn, summed up and muxed: pure functions of recordings."""
