"""The exported model over TensorFlow Recommenders' ScaNN layer: the same signatures, approximate candidates."""

from __future__ import annotations

import pathlib
import shutil
import uuid
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from h2rec_tf import names, retrieval
from h2rec_tf.atomic import atomic_directory
from h2rec_tf.config import IndexConfig
from h2rec_tf.export.loaded import LoadedModel
from h2rec_tf.export.saved import EXTRA_DIR
from h2rec_tf.export.scoring import Scoring
from h2rec_tf.export.serving_model import ServingModel
from h2rec_tf.export.signatures import serving_signatures
from h2rec_tf.index import scann_library
from h2rec_tf.index.settings import IndexSettings, configured


class ScannLayer(tfrs.layers.factorized_top_k.ScaNN):
    """TFRS' layer with our settings: it has no brute force, no plain hash and no anisotropic threshold of its own.

    Args:
        settings: how the searcher is built. It keeps no exact vectors: candidates are scored by the caller.
    """

    def __init__(self, settings: IndexSettings) -> None:
        super().__init__(k=settings.reorder, name="scann")

        def build_searcher(candidates: tf.Tensor) -> Any:
            builder = scann_library.operations().builder(candidates, settings.reorder, "dot_product")
            return configured(builder, settings, reorder=False).build(shared_name=f"{self.name}/{uuid.uuid4()}")

        self._build_searcher = build_searcher


class ScannServingModel(ServingModel):
    """A serving model whose candidates ScaNN finds; their scores are exact.

    A request is answered by exact search after all where candidates cannot answer it: a row without known history, or
    filters that leave fewer than k of the candidates.

    Args:
        model: a loaded model.
        settings: of the index.
    """

    def __init__(self, model: LoadedModel, settings: IndexSettings) -> None:
        super().__init__(
            model,  # type: ignore[arg-type]
            item_ids=model.item_ids,
            titles=model.titles,
            popularity=model.popularity,
            max_length=model.limits.max_length,
            seen=model.limits.seen,
            max_k=model.limits.max_k,
            item_block=model.limits.item_block,
            categories=model.categories(),
        )
        self.loaded = model.loaded
        self._columns = model.listed_size
        self._fewest = min(settings.reorder, self.num_items)
        self._layer = ScannLayer(settings).index(tf.constant(model.vectors()))

    def best(self, scoring: Scoring, k: tf.Tensor, excluded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As the base class, from ScaNN's candidates where these are enough."""
        width = tf.minimum(k, self.num_items)
        # As many more candidates as may drop out.
        count = tf.minimum(tf.maximum(self._fewest, width + tf.shape(excluded)[1]), self.num_items)
        # The index has the columns of the seen part where lists have it; likeness never has it.
        if scoring.marks is None:
            queries = tf.pad(scoring.queries, [[0, 0], [0, self._columns - self.learned_size]])
        else:
            queries = tf.concat([scoring.queries, scoring.marks.users], axis=1)
        distances, rows = self._layer(queries, k=count)
        items = tf.where(tf.math.is_nan(distances), 0, rows + 1)
        scores = tf.where(_among(items, excluded), float("-inf"), scoring.of(items))
        values, places = tf.math.top_k(scores, width)
        present = values > retrieval.LOWEST
        short = tf.reduce_any(scoring.answered & ~present)
        if scoring.fallback is not None:
            short |= ~tf.reduce_all(scoring.answered)

        def approximate() -> tuple[tf.Tensor, tf.Tensor]:
            found = tf.gather(items, places, batch_dims=1)
            return tf.where(present, found, 0), tf.where(present, values, retrieval.LOWEST)

        exact = super().best
        return tf.cond(short, lambda: exact(scoring, k, excluded), approximate)


def build_servable(model: LoadedModel, directory: str, *, config: IndexConfig) -> None:
    """Writes the ScaNN servable, whole or not at all.

    A process must import `scann` before it loads it; a stock TensorFlow Serving has no ScaNN op.

    Args:
        model: the exact servable.
        directory: of the new SavedModel.
        config: the `index` section.

    Raises:
        InputError: as `IndexSettings.derive`, or the directory holds something else.
        MissingDependencyError: ScaNN is not installed.
    """
    scann_library.operations()
    module = ScannServingModel(model, IndexSettings.derive(config, items=model.num_items))
    signatures = serving_signatures(module)
    if names.COLD_ITEM_EMBEDDING in model.signatures:
        signatures[names.COLD_ITEM_EMBEDDING] = model.signatures[names.COLD_ITEM_EMBEDDING]
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    with atomic_directory(directory, marker="saved_model.pb") as path:
        tf.saved_model.save(module, str(path), signatures=signatures, options=options)
        _copy_extra(model.path, path)


def _among(items: tf.Tensor, excluded: tf.Tensor) -> tf.Tensor:
    """bool `[B, C]`: which of `[B, C]` are among `[B, E]` of their row, in O(C log E)."""
    ordered = tf.sort(tf.pad(excluded, [[0, 0], [1, 0]]), axis=1)
    places = tf.minimum(tf.searchsorted(ordered, items), tf.shape(ordered)[1] - 1)
    return tf.gather(ordered, places, batch_dims=1) == items


def _copy_extra(source: pathlib.Path, target: pathlib.Path) -> None:
    shutil.copytree(source / EXTRA_DIR, target / EXTRA_DIR, dirs_exist_ok=True)
