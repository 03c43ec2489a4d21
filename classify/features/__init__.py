"""Feature files as what heads learn from: in memory, or in blocks."""
