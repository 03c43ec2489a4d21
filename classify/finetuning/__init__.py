"""Training with the backbone in the graph, from the trained head on."""
