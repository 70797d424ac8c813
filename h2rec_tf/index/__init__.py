"""Approximate retrieval over item vectors with ScaNN: build, load, evaluate, tune, and serve."""
