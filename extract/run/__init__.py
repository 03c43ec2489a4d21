"""A run: which images are computed again, computing them, putting the file together."""
