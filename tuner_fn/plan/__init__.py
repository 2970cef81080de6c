"""The plan: settings derived from the data, each with its reason."""
