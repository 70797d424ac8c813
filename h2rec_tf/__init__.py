"""H2Rec in TensorFlow: sequential recommendation that harmonizes semantic IDs and hash IDs.

The package's top level is light: importing it sets the environment that the pinned TensorFlow stack needs and nothing
else. Public names are loaded on first use, e.g. ``h2rec_tf.Config`` or ``h2rec_tf.train``.
"""

import importlib
from typing import Any

from h2rec_tf import environment as environment

__version__ = "0.1.0"

_PUBLIC = {
    "Config": "h2rec_tf.config",
    "H2RecError": "h2rec_tf.errors",
    "InputError": "h2rec_tf.errors",
    "H2Rec": "h2rec_tf.models.h2rec",
    "SemanticIds": "h2rec_tf.semantic_ids",
    "evaluate": "h2rec_tf.evaluation",
    "train": "h2rec_tf.training.loop",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'h2rec_tf' has no attribute '{name}'")
