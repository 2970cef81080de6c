"""Studies of settings: which of them matter, and how."""
