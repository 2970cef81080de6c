"""Configurations and checkpoints of TensorFlow's Object Detection API."""
