"""A teacher for the next-item loss: what stands near the user's latest items in text and in other histories."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.losses.item_lists import held


@keras.utils.register_keras_serializable("h2rec_tf")
class NeighbourTeacher(keras.layers.Layer):
    """Soft targets from item neighbourhoods, as the mean item vector that they expect.

    One target an event says nothing about the thousands of rare items that would have fitted as well. The teacher's
    distribution after items `i_1..i_t` is `q_t = sum_a w_a q(.|i_{t-a})` over the `last` items, `w_a` in proportion to
    `decay ** a`, without the items seen so far; `q(.|i)` are the neighbour weights of item i. The cross-entropy of a
    softmax over inner products with soft targets is `lse_j(u . v_j) - u . sum_j q_j v_j`, so the sum is all it needs:
    O(P) an item instead of O(N). With `samples` the sum is estimated from that many neighbours an item, drawn anew for
    each call in proportion to their weights (systematic sampling, unbiased where nothing was seen): O(samples).

    Args:
        neighbours: int `[N + 1, P]` item indices, 0 pads.
        weights: float `[N + 1, P]` probabilities; a row sums to 1, or to 0 for an item without neighbours.
        last: items of history that are asked.
        decay: weight of an item relative to the one after it.
        samples: neighbours drawn for each of a batch's items; 0 takes all.
        seed: of the draws.
    """

    def __init__(
        self,
        *,
        neighbours: np.ndarray,
        weights: np.ndarray,
        last: int = 3,
        decay: float = 0.6,
        samples: int = 0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if np.shape(neighbours) != np.shape(weights):
            raise ValueError(f"`weights` must have shape {np.shape(neighbours)}, got {np.shape(weights)}")
        if last < 1:
            raise ValueError(f"`last` must be at least 1, got {last}")
        self.neighbours = held(np.asarray(neighbours, np.int32))
        self.weights_of_neighbours = held(np.asarray(weights, np.float32))
        self.last = last
        self.decay = decay
        self.samples = samples
        self.seed = seed
        # Tracked, so that a training run resumed from a checkpoint draws the same neighbours.
        self._generator = tf.random.Generator.from_seed(seed) if samples else None

    def edges(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The neighbours that a batch asks.

        Args:
            history: int32 `[B, T]` item indices, 0 pads.

        Returns:
            int32 `[U]`, the batch's items, ascending, 0 among them where something pads; int32 `[U, P]` neighbours
            (0: none) and float32 `[U, P]` weights of each, P being `samples` where that is set.
        """
        # Each of the batch's items once: long histories repeat them.
        items = tf.sort(tf.unique(tf.reshape(self._known(history), [-1]))[0])
        neighbours = tf.gather(self.neighbours, items)
        weights = tf.gather(self.weights_of_neighbours, items)
        if self._generator is None or not self.neighbours.shape[1]:
            return items, neighbours, weights
        ends = tf.cumsum(weights, axis=1)
        steps = tf.range(self.samples, dtype=tf.float32) + self._generator.uniform([tf.shape(items)[0], 1])
        picked = tf.searchsorted(ends, steps / self.samples * ends[:, -1:], side="right")
        picked = tf.minimum(picked, self.neighbours.shape[1] - 1)
        mean = tf.repeat(ends[:, -1:] / self.samples, self.samples, axis=1)
        return items, tf.gather(neighbours, picked, batch_dims=1), mean

    def _known(self, history: tf.Tensor) -> tf.Tensor:
        # A cloze mask token hides an item; it has no neighbours.
        return tf.where(history < self.neighbours.shape[0], history, 0)

    def call(
        self,
        history: tf.Tensor,
        table: tf.Tensor,
        *,
        rows: tf.Tensor | None = None,
        edges: tuple[tf.Tensor, tf.Tensor, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The expected item vector at each position.

        Args:
            history: int32 `[B, T]` item indices, 0 pads; N + 1 is a cloze mask token.
            table: float32 `[n, D]` item vectors; the gradient reaches it.
            rows: int32 `[n]`, ascending item indices of the table's rows; None: row i is item i.
            edges: what `edges` gave; None asks it.

        Returns:
            float32 `[B, T, D]` expected vectors, and float32 `[B, T]`: 1 where the teacher has an opinion, else 0 (the
            vector is zero there).
        """
        history = self._known(history)
        items, neighbours, weights = self.edges(history) if edges is None else edges
        count, width = tf.shape(items)[0], neighbours.shape[1]
        place = tf.reshape(tf.searchsorted(items, tf.reshape(history, [-1])), tf.shape(history))
        # A sparse product: the neighbours' vectors, [U, P, D], never exist.
        begins = tf.repeat(tf.range(count), width)
        columns, values = tf.reshape(neighbours, [-1]), tf.reshape(weights, [-1])
        if rows is None:
            found, own_vectors = columns, tf.gather(table, items)
        else:
            found, own_vectors = tf.searchsorted(rows, columns), tf.gather(table, tf.searchsorted(rows, items))
        indices = tf.cast(tf.stack([begins, found], axis=1), tf.int64)
        matrix = tf.SparseTensor(indices, values, tf.cast([count, tf.shape(table)[0]], tf.int64))
        means = tf.gather(tf.sparse.sparse_dense_matmul(matrix, table), place)
        mass = tf.gather(tf.reduce_sum(weights, axis=1), place)
        # Weight that each item gives to each item of its own row, counted once where an item repeats.
        own = _pair_weights(items, begins, columns, values, place)
        equal = history[:, :, None] == history[:, None, :]
        first = tf.logical_and(tf.reduce_all(~_strictly_earlier(equal), axis=2), history != 0)
        own *= tf.cast(first, tf.float32)[:, None, :]
        real = tf.cast(history != 0, tf.float32)
        total, share, seen = tf.zeros_like(means), tf.zeros_like(mass), tf.zeros_like(own)
        for age in range(self.last):
            factor = self.decay**age * _delayed(real, age)
            total += factor[..., None] * _delayed(means, age)
            share += factor * _delayed(mass, age)
            seen += factor[..., None] * _delayed(own, age)
        # What comes later may be expected; what was seen up to the position is not.
        seen = tf.linalg.band_part(seen, -1, 0)
        total -= tf.matmul(seen, tf.gather(own_vectors, place))
        share -= tf.reduce_sum(seen, axis=2)
        # Below this only rounding is left.
        known = share > 1e-3
        expected = tf.where(known[..., None], total / tf.where(known, share, 1.0)[..., None], 0.0)
        return expected, tf.cast(known, tf.float32)

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "neighbours": self.neighbours.numpy().tolist(),
            "weights": self.weights_of_neighbours.numpy().tolist(),
            "last": self.last,
            "decay": self.decay,
            "samples": self.samples,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}


def _pair_weights(
    items: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, values: tf.Tensor, place: tf.Tensor
) -> tf.Tensor:
    """Weights that items give to items of the same row of a batch, in O(U P + B T^2) memory.

    Args:
        items: int32 `[U]`, distinct and ascending.
        rows: int32 `[E]`, where in `items` an edge begins, ascending.
        columns: int32 `[E]` item indices where it ends, 0 for no edge.
        values: float32 `[E]`; those of equal edges add up.
        place: int32 `[B, T]` positions in `items`.

    Returns:
        float32 `[B, T, T]`: the weight of the edge from the item at (b, s) to the one at (b, j), else 0.
    """
    count = tf.shape(items)[0]
    end = tf.minimum(tf.searchsorted(items, columns), count - 1)
    hit = tf.where(tf.logical_and(tf.gather(items, end) == columns, columns != 0))[:, 0]
    # One number a pair; pairs are looked up in a sorted list, as a matrix over the batch's items would be O(U^2).
    width = tf.cast(count, tf.int64)
    keys = tf.cast(tf.gather(rows, hit), tf.int64) * width + tf.cast(tf.gather(end, hit), tf.int64)
    order = tf.argsort(keys, stable=True)
    known, group = tf.unique(tf.gather(keys, order))
    sums = tf.math.unsorted_segment_sum(tf.gather(tf.gather(values, hit), order), group, tf.size(known))
    # A last key above all others: the list is never empty, and its weight is 0.
    known, sums = tf.concat([known, [width * width]], axis=0), tf.concat([sums, [0.0]], axis=0)
    wide = tf.cast(place, tf.int64)
    wanted = wide[:, :, None] * width + wide[:, None, :]
    found = tf.reshape(tf.searchsorted(known, tf.reshape(wanted, [-1])), tf.shape(wanted))
    return tf.where(tf.gather(known, found) == wanted, tf.gather(sums, found), 0.0)


def _strictly_earlier(square: tf.Tensor) -> tf.Tensor:
    """bool `[B, T, T]` with all but the columns before the diagonal cleared."""
    length = tf.shape(square)[1]
    lower = tf.linalg.band_part(tf.ones([length, length], tf.bool), -1, 0)
    diagonal = tf.eye(length, dtype=tf.bool)
    return tf.logical_and(square, tf.logical_and(lower, ~diagonal)[None])


def _delayed(x: tf.Tensor, age: int) -> tf.Tensor:
    """`[B, T, ...]` moved `age` positions later, zeros in front."""
    padding = [[0, 0], [age, 0]] + [[0, 0]] * (len(x.shape) - 2)
    return tf.pad(x, padding)[:, : tf.shape(x)[1]]
