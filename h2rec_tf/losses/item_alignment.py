"""Code-guided item alignment: HID and SID vectors of the same, co-occurring or same-code items attract."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from h2rec_tf.losses.contrastive import weighted_info_nce
from h2rec_tf.losses.item_lists import held


def positive_weights(
    items: tf.Tensor, neighbours: tf.Tensor, weights: tf.Tensor, groups: tf.Tensor | None
) -> tf.Tensor:
    """Positives among a batch's items.

    Args:
        items: int32 `[B]`, distinct and ascending item indices.
        neighbours: int32 `[N + 1, P]`, co-occurring items of each item, 0 pads.
        weights: float32 `[N + 1, P]`, their weights.
        groups: int32 `[N + 1]`, equal for items of equal code tuples, or None.

    Returns:
        float32 `[B, B]`: 1 for the item itself and for items of the same group, the neighbour's weight for
        co-occurring items, 0 else. Time O(B P log B), memory O(B^2 + B P).
    """
    count = tf.shape(items)[0]
    result = tf.eye(count)
    if groups is not None:
        own = tf.gather(groups, items)
        result = tf.maximum(result, tf.cast(own[:, None] == own[None, :], tf.float32))
    width = neighbours.shape[1]
    if width:
        wanted = tf.reshape(tf.gather(neighbours, items), [-1])
        place = tf.minimum(tf.searchsorted(items, wanted), count - 1)
        hit = tf.where(tf.logical_and(tf.gather(items, place) == wanted, wanted != 0))[:, 0]
        rows = tf.cast(hit, tf.int32) // width
        where = tf.stack([rows, tf.gather(place, hit)], axis=1)
        values = tf.gather(tf.reshape(tf.gather(weights, items), [-1]), hit)
        result = tf.tensor_scatter_nd_max(result, where, values)
    return result


@keras.utils.register_keras_serializable("h2rec_tf")
class ItemAlignment(keras.layers.Layer):
    """InfoNCE between normalised HID and SID vectors of a batch's items, both directions (design: item level).

    `L = 1/2 [l(h, s) + l(s, h)]` with `l(a, b) = mean_i ( lse_j z_ij - lse_j (z_ij + log w_ij) )`,
    `z_ij = a_i . b_j / temperature` and `w` from `positive_weights`.

    Args:
        neighbours: int `[N + 1, P]` co-occurring items, 0 pads; P may be 0.
        weights: float `[N + 1, P]`, 0.3..1.0 where a neighbour stands.
        groups: int `[N + 1]` code-tuple groups, or None to leave identical codes out.
        temperature: of the softmax.
        hard_negatives: items of the nearest code tuples added to the batch for each item, as negatives that are hard
            to tell apart; needs `code_order`.
        code_order: int `[N]`, item indices sorted by code tuple: neighbours in it share the longest prefixes.
        max_items: items of a batch that take part; a random part of a larger batch is used, so memory is bounded.
        seed: of that choice.
    """

    def __init__(
        self,
        *,
        neighbours: np.ndarray,
        weights: np.ndarray,
        groups: np.ndarray | None = None,
        temperature: float = 0.5,
        hard_negatives: int = 0,
        code_order: np.ndarray | None = None,
        max_items: int = 1024,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if np.shape(neighbours) != np.shape(weights):
            raise ValueError(f"`weights` must have shape {np.shape(neighbours)}, got {np.shape(weights)}")
        if hard_negatives and code_order is None:
            raise ValueError("`hard_negatives` needs `code_order`")
        self.neighbours = held(np.asarray(neighbours, np.int32))
        self.weights_of_neighbours = held(np.asarray(weights, np.float32))
        self.groups = None if groups is None else held(np.asarray(groups, np.int32))
        self.temperature = temperature
        self.hard_negatives = hard_negatives
        self.code_order = None if code_order is None else held(np.asarray(code_order, np.int32))
        self.max_items = max_items
        self.seed = seed
        if code_order is not None:
            place = np.zeros(len(code_order) + 1, np.int32)
            place[code_order] = np.arange(len(code_order))
            self._place, self._ordered = held(place), len(code_order)
        self._generator = tf.random.Generator.from_seed(seed)

    def batch_items(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[...]` item indices of a batch -> int32 `[B']` distinct ascending ones that take part; never 0."""
        flat = tf.reshape(items, [-1])
        distinct = tf.unique(tf.boolean_mask(flat, flat != 0))[0]
        order = tf.argsort(self._generator.uniform(tf.shape(distinct)))
        distinct = tf.gather(distinct, order[: self.max_items])
        if self.hard_negatives:
            place = tf.gather(self._place, distinct)
            steps = [step for near in range(1, self.hard_negatives) for step in (near, -near)][: self.hard_negatives]
            steps = steps or [1]
            around = (place[:, None] + tf.constant(steps)[None, :]) % self._ordered
            near = tf.gather(self.code_order, tf.reshape(around, [-1]))
            distinct = tf.unique(tf.concat([distinct, near], axis=0))[0]
        return tf.sort(distinct)

    def call(self, items: tf.Tensor, *, hid: Any, sid: Any) -> tf.Tensor:
        """Aligns the items of a batch.

        Args:
            items: int32 `[...]` item indices, 0 pads.
            hid: maps int32 `[B']` item indices to `[B', d]` HID vectors.
            sid: maps int32 `[B']` item indices to `[B', d]` SID vectors.

        Returns:
            Scalar float32 loss; 0 for a batch without items.
        """
        distinct = self.batch_items(items)
        weights = positive_weights(distinct, self.neighbours, self.weights_of_neighbours, self.groups)
        left = tf.math.l2_normalize(tf.cast(hid(distinct), tf.float32), axis=-1)
        right = tf.math.l2_normalize(tf.cast(sid(distinct), tf.float32), axis=-1)
        logits = tf.matmul(left, right, transpose_b=True) / self.temperature
        return 0.5 * (
            weighted_info_nce(logits, weights) + weighted_info_nce(tf.transpose(logits), tf.transpose(weights))
        )

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "neighbours": self.neighbours.numpy().tolist(),
            "weights": self.weights_of_neighbours.numpy().tolist(),
            "groups": None if self.groups is None else self.groups.numpy().tolist(),
            "temperature": self.temperature,
            "hard_negatives": self.hard_negatives,
            "code_order": None if self.code_order is None else self.code_order.numpy().tolist(),
            "max_items": self.max_items,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ItemAlignment:
        """Rebuilds the layer; lists become arrays (an empty neighbour list keeps its two axes)."""
        rows = len(config["neighbours"])
        config = dict(config)
        config["neighbours"] = np.asarray(config["neighbours"], np.int32).reshape(rows, -1)
        config["weights"] = np.asarray(config["weights"], np.float32).reshape(rows, -1)
        return cls(**config)


def code_groups(codes: np.ndarray) -> np.ndarray:
    """int `[N, L]` codes -> int32 `[N + 1]`, the same number for items of equal tuples; padding has its own."""
    _, groups = np.unique(codes, axis=0, return_inverse=True)
    return np.concatenate([[-1], groups.reshape(-1)]).astype(np.int32)


def code_order(codes: np.ndarray) -> np.ndarray:
    """int `[N, L]` codes -> int32 `[N]`, item indices 1..N in lexicographic order of their code tuples."""
    return (np.lexsort(codes.T[::-1]) + 1).astype(np.int32)
