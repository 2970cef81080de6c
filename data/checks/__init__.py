"""Finds what is wrong with a dataset before it costs a training run."""
