"""Detections and ground truth in, numbers out."""
