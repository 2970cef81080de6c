"""Ground truth in, padded batches out."""
