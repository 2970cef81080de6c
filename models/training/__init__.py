"""Training of one configuration, and what it costs."""
