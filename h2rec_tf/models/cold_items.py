"""Vectors for items that the catalogue did not have (design: beyond the paper), inside a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.quantizers.base import Quantizer

# Indices of items, int32 `[n]`, to float `[n, w]` rows.
Rows = Callable[[tf.Tensor], tf.Tensor]


class ColdItems(tf.Module):
    """From an item's text vector to its codes and its item vector, without training.

    Codes are the quantizer's. What the model knows of single items only (the HID row) is the mean over the trained
    items that share the longest code prefix, weighted by training interactions; over all trained items where not even
    the first code is shared.

    Memory of a call is O(items of the longest shared prefixes).

    Args:
        model: trained and built.
        quantizer: fitted; its codes are the first of each tuple. A disambiguation digit of a new item is 0.
        codes: int `[N, L]` of the catalogue.
        popularity: int `[N + 1]` training interactions.
    """

    def __init__(self, model: H2Rec, *, quantizer: Quantizer, codes: np.ndarray, popularity: np.ndarray) -> None:
        super().__init__(name="cold_items")
        self.dimensions = quantizer.dimensions
        self._quantizer_codes = quantizer.encode_tensor
        self._quantizer_variables = list(quantizer.variables)
        # A bound method: the Keras model stays out of the saved object graph.
        self._vectors = model.cold_item_vectors
        self._levels = codes.shape[1]
        self._num_codes = int(codes.max(initial=0)) + 1
        trained = np.flatnonzero(popularity[1:] > 0)
        if not len(trained):
            trained = np.arange(len(codes))
        order = trained[np.lexsort(codes[trained].T[::-1])]
        weights = np.maximum(popularity[1:][order], 1)
        self._items = tf.Variable(order.astype(np.int32) + 1, trainable=False, name="items")
        self._weights = tf.Variable(weights.astype(np.float32), trainable=False, name="weights")
        self._keys, self._edges = [], []
        parents = np.zeros(len(order), np.int64)
        for level in range(self._levels):
            # Sorted, since the items are: a group of items with one prefix is a range of them.
            keys, starts, parents = np.unique(
                parents * self._num_codes + codes[order, level], return_index=True, return_inverse=True
            )
            edges = np.append(starts, len(order)).astype(np.int32)
            self._keys.append(tf.Variable(keys, trainable=False, name=f"keys_{level}"))
            self._edges.append(tf.Variable(edges, trainable=False, name=f"edges_{level}"))

    def codes(self, vectors: tf.Tensor) -> tf.Tensor:
        """float32 `[B, D_x]` text vectors, of any length -> int32 `[B, L]` codes."""
        codes = self._quantizer_codes(tf.math.l2_normalize(vectors, axis=1))
        return tf.pad(codes, [[0, 0], [0, self._levels - codes.shape[1]]])

    def vectors(self, codes: tf.Tensor) -> tf.Tensor:
        """int32 `[B, L]` codes -> float32 `[B, D]` item vectors, as the score uses them."""
        start, stop = self._ranges(codes)
        return self._vectors(codes, lambda rows: self._mean(rows, start, stop))

    def _ranges(self, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int32 `[B]` starts and ends of the trained items with the longest shared prefix; 0 and 0 for none."""
        group = tf.zeros([tf.shape(codes)[0]], tf.int64)
        start = stop = tf.zeros([tf.shape(codes)[0]], tf.int32)
        shared = tf.ones([tf.shape(codes)[0]], tf.bool)
        for level, (keys, edges) in enumerate(zip(self._keys, self._edges, strict=True)):
            wanted = group * self._num_codes + tf.cast(codes[:, level], tf.int64)
            place = tf.minimum(tf.searchsorted(keys, wanted), tf.size(keys) - 1)
            # A code that no item has would otherwise run into the next group's keys.
            shared &= (tf.gather(keys, place) == wanted) & (codes[:, level] < self._num_codes)
            start = tf.where(shared, tf.gather(edges, place), start)
            stop = tf.where(shared, tf.gather(edges, place + 1), stop)
            group = tf.cast(place, tf.int64)
        return start, stop

    def _mean(self, rows: Rows, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """float32 `[B, w]`: weighted means of rows of the items in each range, of all items where it is empty."""
        ranges = tf.ragged.range(start, stop)
        owner, places = ranges.value_rowids(), ranges.values
        weights = tf.gather(self._weights, places)
        values = tf.cast(rows(tf.gather(self._items, places)), tf.float32) * weights[:, None]
        count = tf.shape(start)[0]
        sums = tf.math.unsorted_segment_sum(values, owner, count)
        mass = tf.math.unsorted_segment_sum(weights, owner, count)
        empty = start == stop

        def over_all() -> tf.Tensor:
            every = tf.cast(rows(self._items.value()), tf.float32)
            return tf.linalg.matvec(every, self._weights.value(), transpose_a=True) / tf.reduce_sum(self._weights)

        # All items are read only where a request needs them.
        whole = tf.cond(tf.reduce_any(empty), over_all, lambda: tf.zeros([sums.shape[1]]))
        return tf.where(empty[:, None], whole[None], sums / tf.maximum(mass, 1e-30)[:, None])
