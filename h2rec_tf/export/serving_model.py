"""A trained model with its catalogue, as functions from string ids to string ids."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from h2rec_tf import names, retrieval
from h2rec_tf.export.categories import Categories
from h2rec_tf.export.histories import for_each_row
from h2rec_tf.export.item_scorer import ItemScorer
from h2rec_tf.export.scoring import Scoring
from h2rec_tf.metrics.protocol import EXCLUDE
from h2rec_tf.models.cold_items import ColdItems
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.text.base import TextEncoder


class ServingModel(ItemScorer):
    """Recommends, finds similar items and ranks candidates, by item id.

    Args:
        model: trained and built.
        item_ids: `[N]` strings; row r is item index r + 1.
        titles: `[N]` strings.
        popularity: int `[N + 1]` training interactions; ranks items for a user without known history, and gives the
            slices.
        max_length: items of history the model reads.
        seen: what lists do with items of the history: "exclude" leaves them out, "include" recommends them like others.
        max_k: longest list a request may ask for.
        head_fraction: share of the catalogue that is head.
        item_block: items scored at once; bounds the score matrix to `[B, item_block]`.
        categories: `[N]` strings, names of each item's categories with "|" between them; None where the catalogue has
            none.
        cold_items: gives vectors to items that are not in the catalogue; None leaves that out.
        text_encoder: what turned the catalogue's texts into vectors; None where they were given.
    """

    def __init__(
        self,
        model: H2Rec,
        *,
        item_ids: np.ndarray,
        titles: np.ndarray,
        popularity: np.ndarray,
        max_length: int,
        seen: str = EXCLUDE,
        max_k: int = 100,
        head_fraction: float = 0.2,
        item_block: int = 65536,
        categories: np.ndarray | None = None,
        cold_items: ColdItems | None = None,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        super().__init__(
            model,
            popularity=popularity,
            max_length=max_length,
            seen=seen,
            head_fraction=head_fraction,
            item_block=item_block,
        )
        self.max_k = max_k
        self._item_ids = tf.Variable(np.concatenate([[""], item_ids]).astype(str), trainable=False, name="item_ids")
        self._titles = tf.Variable(np.concatenate([[""], titles]).astype(str), trainable=False, name="titles")
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant(item_ids.astype(str)), tf.range(1, self.num_items + 1, dtype=tf.int64)
        )
        self._lookup = tf.lookup.StaticHashTable(initializer, default_value=0)
        inverse = tf.math.divide_no_nan(1.0, tf.norm(self._table, axis=1))
        self._inverse_lengths = tf.Variable(inverse, trainable=False, name="inverse_lengths")
        self.categories = None if categories is None else Categories(categories)
        self.cold_items = cold_items
        self.text_encoder = text_encoder

    def indices(self, ids: tf.Tensor) -> tf.Tensor:
        """string `[...]` item ids -> int32 `[...]` item indices; 0 for unknown ids and ""."""
        return tf.cast(self._lookup.lookup(ids), tf.int32)

    def item_titles(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[...]` -> string `[...]`; "" for index 0."""
        return tf.gather(self._titles, items)

    def recommend(
        self,
        items: tf.Tensor,
        k: tf.Tensor,
        *,
        exclude: tf.Tensor | None = None,
        allow_categories: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """The best items; those of the history only where `seen` is "include".

        Args:
            items: int32 `[B, T]` histories, oldest first, zeros anywhere. A row of zeros gets the most popular items.
                All of its items count as seen, also those before the last that the model reads.
            k: int32 scalar, 1..max_k.
            exclude: int32 `[B, E]` or `[1, E]` items that must not come back, whatever `seen` says; 0 fills rows.
            allow_categories: string `[B, C]` or `[1, C]`: only items of these categories; "" fills rows, and a row
                of "" alone allows all.

        Returns:
            `item_ids` and `titles` string `[B, min(k, N)]`, `scores` float32 `[B, min(k, N)]`, `count` int32 `[B]`: the
            places that are filled. Ids and titles are "" where fewer items remain. Scores of popular items are their
            training interactions.

        Raises:
            InvalidArgumentError: `k` out of range, or another number of rows.
        """
        rows = tf.shape(items)[0]
        excluded = self.left_out(items)
        if exclude is not None:
            excluded = tf.concat([excluded, for_each_row(exclude, rows)], axis=1)
        restricted = flags = None
        if self.categories is not None:
            allow = tf.fill([1, 1], "") if allow_categories is None else allow_categories
            restricted, flags = self.categories.allowed(for_each_row(allow, rows))
        scoring = self.scoring(items, categories=self.categories, restricted=restricted, flags=flags)
        return self._listed(*self.best(scoring, self._checked(k), excluded))

    def similar(self, items: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The items whose vectors, without the seen part, have the largest cosines with the given ones.

        Args:
            items: int32 `[B]`; for 0 nothing comes back.
            k: int32 scalar, 1..max_k.

        Returns:
            As `recommend`, without the item itself; scores are cosines.

        Raises:
            InvalidArgumentError: `k` out of range.
        """
        table, scale = self.table, self._inverse_lengths.read_value()
        queries = tf.gather(table, items) * tf.gather(scale, items)[:, None]
        scoring = Scoring(queries, table, self.item_block, answered=items[:, None] > 0, scale=scale)
        return self._listed(*self.best(scoring, self._checked(k), items[:, None]))

    def rank(self, items: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores of given items.

        Args:
            items: int32 `[B, T]` histories as in `recommend`.
            candidates: int32 `[B, C]`; 0 is an unknown one.

        Returns:
            `scores` float32 `[B, C]` in the candidates' order, the lowest float where unknown; `order` int32 `[B, C]`,
            places of the candidates from the best to the worst, ties and unknown ones in their order; `known` bool
            `[B, C]`. Seen items are scored like others, all as `recommend` scores them.
        """
        scores = tf.maximum(self.scoring(items).of(candidates), retrieval.LOWEST)
        order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)
        return {names.SCORES: scores, names.ORDER: order, names.KNOWN: candidates > 0}

    def best(self, scoring: Scoring, k: tf.Tensor, excluded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best `min(k, N)` items a row: int32 items, 0 where fewer remain, and float32 scores."""
        return retrieval.top_k(
            scoring.block_of, num_items=self.num_items, k=k, excluded=excluded, block=self.item_block
        )

    def _checked(self, k: tf.Tensor) -> tf.Tensor:
        limit = f"`k` must be between 1 and {self.max_k}"
        checks = [
            tf.debugging.assert_greater_equal(k, 1, message=limit),
            tf.debugging.assert_less_equal(k, self.max_k, message=limit),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.identity(k)

    def _listed(self, found: tf.Tensor, scores: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            names.ITEM_IDS: tf.gather(self._item_ids, found),
            names.TITLES: tf.gather(self._titles, found),
            names.SCORES: scores,
            names.COUNT: tf.math.count_nonzero(found, axis=1, dtype=tf.int32),
        }
