"""A self-contained HTML page about one trained model."""
