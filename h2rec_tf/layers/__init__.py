"""Keras layers: ID embeddings, attention blocks, granularity gate, branch encoders."""
