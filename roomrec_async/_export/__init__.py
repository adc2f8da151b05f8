"""Exports: the records of rooms or of a window of time as files, resumable, incremental, and divided into shards."""
