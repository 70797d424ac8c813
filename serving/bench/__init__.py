"""Load test of a model server: `h2rec bench serve`."""
