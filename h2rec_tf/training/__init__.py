"""Training: one function behind the command line, the pipeline's Trainer and notebooks."""
