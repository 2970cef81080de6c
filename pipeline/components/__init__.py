"""The TFX components, and what runs in them."""
