"""The one place for what the pinned TensorFlow 2.16 stack needs from the process environment.

Importing this module never imports TensorFlow. Each setting is a default: a value that the user has set stays.
"""

import logging
import os
import warnings

# TensorFlow Recommenders 0.7 is written for Keras 2. TensorFlow 2.16 ships Keras 3 as `tf.keras` unless this is set
# before the first use of `tf.keras`.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# TensorFlow's C++ start-up lines (CPU features, missing CUDA) tell a user of a recommender nothing.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Child processes (Beam workers, servers) inherit this; the Google clients warn about Python 3.10 on each import.
os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")


def quiet_warnings() -> None:
    """Keeps Python warnings of the pinned libraries, which a user cannot act on, out of a command's output."""
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category)


def quiet() -> None:
    """Keeps libraries' warnings and INFO lines out of a command's output; errors still show."""
    quiet_warnings()
    for name in ("tensorflow", "absl", "apache_beam", "root"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Our own lines, an epoch's figures for example, stay for whoever installs a handler.
    logging.getLogger("h2rec_tf").setLevel(logging.INFO)
