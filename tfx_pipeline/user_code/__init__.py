"""Code that TFX components import by function path: `preprocessing_fn` and `run_fn`."""
