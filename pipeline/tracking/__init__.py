"""A run directory in a tracking server: what is shown, and how it gets there."""
