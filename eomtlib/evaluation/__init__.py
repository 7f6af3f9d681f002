"""Metrics, post-processing and costs; nothing here knows how a model is made."""
