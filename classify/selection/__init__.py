"""Many heads tried, and one chosen by the validation rows."""
