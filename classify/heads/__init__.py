"""Small classifiers: the table of them, how each learns, and a linear one as a dense layer."""
