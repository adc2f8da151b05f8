"""What the commands share: options, input, output."""
