"""Frozen backbones: the table of them, the graph that Keras runs, its weights."""
