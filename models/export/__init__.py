"""A trained model as files, and running those."""
