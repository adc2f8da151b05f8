"""Archives: verified copies of recordings, resumable, with deletion at the source."""
