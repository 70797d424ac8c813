"""Semantic-ID embedding: one table a code level, shared by all items that carry the code."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.dense import Dense

FUSIONS = ("mean", "sum", "concat")


@keras.utils.register_keras_serializable("h2rec_tf")
class SemanticIdEmbedding(keras.layers.Layer):
    """Embeds items through their codes (SID, design: embeddings).

    Index 0 pads and gives zeros at every level. Index N + 1 (cloze mask token) has a learned vector a level.

    Args:
        codes: int `[N, L]`, code of each item at each level; row r is item index r + 1.
        num_codes: K, codes per level.
        dimensions: d.
        start: float `[L, K, d]` start tables (see `starts.codebook_tables`) or None for random ones.
        fusion: how levels become one vector: "mean", "sum" or "concat" (concatenated, then a linear map to d).
        trainable_tables: False freezes the tables at their start.
        seed: of random start values.

    Example:

    >>> layer = SemanticIdEmbedding(np.array([[0, 1], [0, 2]]), num_codes=3, dimensions=4)
    >>> layer.views(tf.constant([[0, 1, 2]])).shape
    TensorShape([1, 3, 2, 4])
    """

    def __init__(
        self,
        codes: np.ndarray,
        num_codes: int,
        dimensions: int,
        *,
        start: np.ndarray | None = None,
        fusion: str = "mean",
        trainable_tables: bool = True,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        codes = np.asarray(codes, np.int32)
        if codes.ndim != 2:
            raise ValueError(f"`codes` must have shape [N, L], got {codes.shape}")
        if codes.size and (codes.min() < 0 or codes.max() >= num_codes):
            raise ValueError(f"`codes` must lie in 0..{num_codes - 1}, got {codes.min()}..{codes.max()}")
        if fusion not in FUSIONS:
            raise ValueError(f"`fusion` must be one of {', '.join(FUSIONS)}, got '{fusion}'")
        self.num_items, self.levels = codes.shape
        if start is not None and start.shape != (self.levels, num_codes, dimensions):
            raise ValueError(f"`start` must have shape ({self.levels}, {num_codes}, {dimensions}), got {start.shape}")
        self.codes = codes
        self.num_codes = num_codes
        self.dimensions = dimensions
        self.fusion = fusion
        self.trainable_tables = trainable_tables
        self.seed = seed
        self._start = start
        # Rows of the flat table: all levels' codes, then one mask row a level. Padding looks up row 0 and is zeroed.
        offsets = np.arange(self.levels, dtype=np.int32) * num_codes
        mask_rows = self.levels * num_codes + np.arange(self.levels, dtype=np.int32)
        self._rows = np.concatenate([np.zeros((1, self.levels), np.int32), codes + offsets, mask_rows[None, :]])
        self._project = Dense(dimensions, name="project") if fusion == "concat" else None

    def build(self, input_shape: Any) -> None:
        """Creates the table `[L * K + L, d]`."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.levels * (self.num_codes + 1), self.dimensions),
            initializer=self._initial,
            trainable=self.trainable_tables,
            experimental_autocast=False,
        )
        if self._project is not None:
            self._project.build([None, self.levels * self.dimensions])
        super().build(input_shape)

    def _initial(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        del kwargs
        generator = np.random.default_rng(self.seed)
        rows = generator.normal(0.0, self.dimensions**-0.5, size=tuple(shape))
        if self._start is not None:
            rows[: self.levels * self.num_codes] = self._start.reshape(-1, self.dimensions)
        return tf.constant(rows, dtype or tf.float32)

    def views(self, items: tf.Tensor) -> tf.Tensor:
        """int `[...]` item indices -> `[..., L, d]` per-level vectors in the compute dtype; zeros at index 0."""
        if not self.built:
            self.build(None)
        rows = tf.gather(self.embeddings, tf.gather(tf.constant(self._rows), items))
        rows = tf.cast(rows, self.compute_dtype)
        return rows * tf.cast(items != 0, rows.dtype)[..., None, None]

    def of_codes(self, codes: tf.Tensor) -> tf.Tensor:
        """int `[..., L]` codes, of items that need not be in the catalogue -> `[..., d]` fused vectors."""
        offsets = tf.range(self.levels, dtype=codes.dtype) * self.num_codes
        return self.fuse(tf.cast(tf.gather(self.embeddings, codes + offsets), self.compute_dtype))

    def fuse(self, views: tf.Tensor) -> tf.Tensor:
        """`[..., L, d]` per-level vectors -> `[..., d]`."""
        if self._project is not None:
            flat = tf.reshape(views, tf.concat([tf.shape(views)[:-2], [self.levels * self.dimensions]], axis=0))
            return self._project(flat)
        return tf.reduce_mean(views, axis=-2) if self.fusion == "mean" else tf.reduce_sum(views, axis=-2)

    def call(self, items: tf.Tensor) -> tf.Tensor:
        """int `[...]` item indices -> `[..., d]` fused vectors; zeros where the index is 0."""
        fused = self.fuse(self.views(items))
        return fused * tf.cast(items != 0, fused.dtype)[..., None]

    def table(self) -> tf.Tensor:
        """float32 `[N + 1, d]`: fused vectors of all item indices, row 0 zero."""
        return self.table_rows(tf.range(self.num_items + 1))

    def table_rows(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[n]` item indices 0..N -> float32 `[n, d]`, their rows of `table`."""
        if self._project is not None:
            return tf.cast(self(items), tf.float32)
        if not self.built:
            self.build(None)
        # One fused gather and reduction: `[n, L, d]` never exists.
        combine = tf.sparse.segment_mean if self.fusion == "mean" else tf.sparse.segment_sum
        rows = tf.reshape(tf.gather(tf.constant(self._rows), items), [-1])
        vectors = combine(self.embeddings, rows, tf.repeat(tf.range(tf.shape(items)[0]), self.levels))
        return vectors * tf.cast(items != 0, tf.float32)[:, None]

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        """`[...] -> [..., d]`."""
        return tf.TensorShape(input_shape).concatenate([self.dimensions])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments but `start`, whose values are in the weights."""
        config = {
            "codes": self.codes.tolist(),
            "num_codes": self.num_codes,
            "dimensions": self.dimensions,
            "fusion": self.fusion,
            "trainable_tables": self.trainable_tables,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}
