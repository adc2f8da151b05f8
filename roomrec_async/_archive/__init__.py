"""Archives: media copied, verified, resumable, and deleted at the source."""
