"""A trained head with all that a new image needs: saved, read, used, exported."""
