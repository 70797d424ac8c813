"""Search for hyperparameters on the validation split, within a budget."""

from h2rec_tf.tuning.space import SearchSpace
from h2rec_tf.tuning.study import TuningResult, tune

__all__ = ["SearchSpace", "TuningResult", "tune"]
