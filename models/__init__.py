"""The detector: mathematics, training of one configuration, metrics, export."""
