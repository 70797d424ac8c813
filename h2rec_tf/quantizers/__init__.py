"""Quantizers: item vectors to semantic IDs."""
