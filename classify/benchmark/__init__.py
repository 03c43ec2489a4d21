"""Cached heads, live heads and fine-tuning on the same rows, a process each."""
