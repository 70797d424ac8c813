"""Search for hyperparameters on the validation split, within a budget."""

from h2rec_tf.tuning.search import TuningResult, tune
from h2rec_tf.tuning.space import SearchSpace

__all__ = ["SearchSpace", "TuningResult", "tune"]
