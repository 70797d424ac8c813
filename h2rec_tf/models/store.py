"""A trained model on disk: configuration, weights, semantic IDs and training popularity, in one directory."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from h2rec_tf.atomic import atomic_directory
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from h2rec_tf.models.build import build_model
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.semantic_ids import SemanticIds

CONFIG_FILE = "config.yaml"
WEIGHTS_FILE = "weights.npz"
POPULARITY_FILE = "popularity.npy"
SEMANTIC_IDS_DIR = "semantic_ids"


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """What recommending and evaluating need.

    Attributes:
        model: the trained model.
        config: what it was built and trained with.
        semantic_ids: its catalogue and codes.
        popularity: int64 `[N + 1]`, training interactions of each item index.
    """

    model: H2Rec
    config: Config
    semantic_ids: SemanticIds
    popularity: np.ndarray

    def save(self, directory: str) -> None:
        """Writes all files, whole or not at all, over an earlier save."""
        with atomic_directory(directory, marker=CONFIG_FILE) as path:
            self.config.save(str(path / CONFIG_FILE))
            weights = {f"{index:04d}": value for index, value in enumerate(self.model.get_weights())}
            np.savez(path / WEIGHTS_FILE, **weights)
            np.save(path / POPULARITY_FILE, self.popularity)
            self.semantic_ids.save(str(path / SEMANTIC_IDS_DIR))

    @classmethod
    def load(cls, directory: str) -> TrainedModel:
        """Reads what `save` wrote.

        Raises:
            InputError: the directory holds no trained model.
        """
        path = pathlib.Path(directory)
        if not (path / WEIGHTS_FILE).is_file():
            raise InputError(f"{directory}: no trained model here; train one with `h2rec train --output {directory}`")
        config = Config.load(str(path / CONFIG_FILE))
        semantic_ids = SemanticIds.load(str(path / SEMANTIC_IDS_DIR))
        popularity = np.load(path / POPULARITY_FILE)
        model = build_model(
            model=config.model,
            loss=config.loss,
            codes=semantic_ids.codes,
            codebooks=semantic_ids.codebooks,
            vectors=semantic_ids.vectors,
            train=None,
            seed=config.training.seed,
        )
        with np.load(path / WEIGHTS_FILE) as weights:
            model.set_weights([weights[name] for name in sorted(weights.files)])
        return cls(model, config, semantic_ids, popularity)
