"""Where results go: may they be written, how, and what is told when they cannot be."""
