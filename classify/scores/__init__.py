"""How good predictions are, with intervals, and figures of that."""
