"""Losses: next item, code-guided item alignment, masked-granularity user alignment."""
