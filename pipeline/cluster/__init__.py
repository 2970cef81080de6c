"""Kubeflow Pipelines: what its containers start, where artifacts lie in them, and what a pod is given."""
