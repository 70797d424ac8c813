"""Retrieval for large or fast-changing catalogues: a mutable ScaNN index behind a write-ahead log."""
