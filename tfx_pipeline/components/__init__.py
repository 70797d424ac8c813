"""Components of the pipeline beyond TFX's own."""
