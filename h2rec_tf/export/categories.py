"""Which items belong to which category, inside a TensorFlow graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

SEPARATOR = "|"


class Categories(tf.Module):
    """Allow lists by category.

    Args:
        categories: `[N]` strings, the names of each item's categories with "|" between them; "" for none.
    """

    def __init__(self, categories: np.ndarray) -> None:
        super().__init__(name="categories")
        rows = [[name for name in text.split(SEPARATOR) if name] for text in categories.tolist()]
        names = sorted({name for row in rows for name in row})
        number = {name: place for place, name in enumerate(names, start=1)}
        # Column by column, row 0 pads: most catalogues have one category an item.
        members = np.zeros((max(1, *(len(row) for row in rows)), len(rows) + 1), np.int32)
        for place, row in enumerate(rows, start=1):
            members[: len(row), place] = [number[name] for name in row]
        self._names = tf.Variable(["", *names], trainable=False, name="names")
        self._members = tf.Variable(members, trainable=False, name="members")
        self._width = members.shape[0]
        self._count = len(names)
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant(names, tf.string), tf.range(1, len(names) + 1, dtype=tf.int64)
        )
        self._lookup = tf.lookup.StaticHashTable(initializer, default_value=0)

    def allowed(self, names: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What an allow list lets through.

        Args:
            names: string `[B, C]`; "" fills rows.

        Returns:
            `restricted` bool `[B, 1]`, False for a row of "" alone, and `flags` bool `[B, G + 1]` by category; a name
            that the catalogue does not have lets nothing through.
        """
        rows = tf.shape(names)[0]
        numbers = tf.cast(self._lookup.lookup(names), tf.int32)
        places = tf.stack(
            [tf.repeat(tf.range(rows), tf.shape(names)[1]), tf.reshape(numbers, [-1])],
            axis=1,
        )
        hits = tf.scatter_nd(places, tf.ones([tf.size(numbers)], tf.int32), [rows, self._count + 1])
        # Number 0 is no category.
        flags = (hits > 0) & (tf.range(self._count + 1) > 0)
        return tf.reduce_any(names != "", axis=1, keepdims=True), flags

    def block(self, flags: tf.Tensor, start: int, stop: int) -> tf.Tensor:
        """bool `[B, stop - start]`: whether items start..stop - 1 are in a flagged category."""
        return self._any([tf.gather(flags, self._members[place, start:stop], axis=1) for place in range(self._width)])

    def of(self, flags: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """bool `[B, C]`: whether items `[B, C]` are in a flagged category of their row."""
        members = [tf.gather(self._members[place], items) for place in range(self._width)]
        return self._any([tf.gather(flags, numbers, batch_dims=1) for numbers in members])

    def _any(self, parts: list[tf.Tensor]) -> tf.Tensor:
        result = parts[0]
        for part in parts[1:]:
            result |= part
        return result
