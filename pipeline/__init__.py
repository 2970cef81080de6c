"""The TFX graph, its components, its runners and the command line."""
