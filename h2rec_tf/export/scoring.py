"""How a request scores items: in blocks of the catalogue, or a list of them."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from h2rec_tf import retrieval
from h2rec_tf.export.categories import Categories

_ABSENT = float("-inf")
# Numbers of item vectors that are gathered at once, 64 MiB of float32.
_GATHERED = 1 << 24


@dataclasses.dataclass(frozen=True)
class SeenMarks:
    """The seen part of scores, as the look-up that the product with one-hot slots is.

    Attributes:
        users: float32 `[B, m]`, the seen part of user vectors.
        slots: int32 `[N + 1]`, each item's column; m for none.
    """

    users: tf.Tensor
    slots: tf.Tensor

    def block_of(self, start: int, stop: int) -> tf.Tensor:
        """float32 `[B, stop - start]`: of items start..stop - 1."""
        return tf.gather(self._padded(), self.slots[start:stop], axis=1)

    def of(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[B, C]` items -> float32 `[B, C]`."""
        return tf.gather(self._padded(), tf.gather(self.slots, items), batch_dims=1)

    def _padded(self) -> tf.Tensor:
        # The last column, of zeros, stands for items without a slot.
        return tf.pad(self.users, [[0, 0], [0, 1]])


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Scores of a batch of queries; an item at minus infinity must not come back.

    Attributes:
        queries: float32 `[B, d]`.
        table: float32 `[N + 1, d]`, item vectors without the seen part.
        block: items of a block, as `retrieval.blocks` cuts them.
        answered: bool `[B, 1]`: rows that the inner product scores.
        fallback: float32 `[N + 1]`, scores for the other rows; None lets nothing come back for them.
        marks: what the seen part adds to inner products, or None.
        scale: float32 `[N + 1]` factors of the items, or None.
        categories: of the catalogue, or None.
        restricted: bool `[B, 1]`, rows with an allow list.
        flags: bool `[B, G + 1]`, their categories.
    """

    queries: tf.Tensor
    table: tf.Tensor
    block: int
    answered: tf.Tensor
    fallback: tf.Tensor | None = None
    marks: SeenMarks | None = None
    scale: tf.Tensor | None = None
    categories: Categories | None = None
    restricted: tf.Tensor | None = None
    flags: tf.Tensor | None = None

    def block_of(self, start: int, stop: int) -> tf.Tensor:
        """float32 `[B, stop - start]`: scores of items start..stop - 1."""
        scores = retrieval.scored_rows(self.queries, self.table, start, stop, block=self.block)
        if self.marks is not None:
            scores += self.marks.block_of(start, stop)
        if self.scale is not None:
            scores *= self.scale[start:stop]
        other = _ABSENT if self.fallback is None else self.fallback[None, start:stop]
        scores = tf.where(self.answered, scores, other)
        if self.categories is not None:
            allowed = self.categories.block(self.flags, start, stop)
            scores = tf.where(self.restricted & ~allowed, _ABSENT, scores)
        return scores

    def of(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[B, C]` items -> float32 `[B, C]` scores; minus infinity for item 0."""
        scores = self._products(items)
        if self.marks is not None:
            scores += self.marks.of(items)
        if self.scale is not None:
            scores *= tf.gather(self.scale, items)
        other = _ABSENT if self.fallback is None else tf.gather(self.fallback, items)
        scores = tf.where(self.answered, scores, other)
        if self.categories is not None:
            allowed = self.categories.of(self.flags, items)
            scores = tf.where(self.restricted & ~allowed, _ABSENT, scores)
        return tf.where(items > 0, scores, _ABSENT)

    def _products(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[B, C]` items -> float32 `[B, C]` inner products, in memory that a request does not decide."""

        def at_once() -> tf.Tensor:
            return tf.einsum("bd,bcd->bc", self.queries, tf.gather(self.table, items))

        def by_row() -> tf.Tensor:
            return tf.map_fn(
                lambda row: tf.linalg.matvec(tf.gather(self.table, row[1]), row[0]),
                (self.queries, items),
                fn_output_signature=tf.float32,
                parallel_iterations=1,
            )

        gathered = tf.size(items, tf.int64) * self.table.shape[1]
        return tf.cond(gathered > _GATHERED, by_row, at_once)
