"""The detector's mathematics."""
