"""What the user sees of long work."""
