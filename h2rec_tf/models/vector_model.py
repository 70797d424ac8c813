"""Users and items as vectors: the item table, and the user vectors of a history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from h2rec_tf.layers.dense import Dense
from h2rec_tf.layers.seen_slots import SeenSlots
from h2rec_tf.models.item_rows import item_rows

BRANCHES = ("dual", "hid", "sid", "sum", "concat")


class VectorModel(tfrs.Model):
    """Scores by one inner product over hash IDs and semantic IDs; a subclass says what is learned (`compute_loss`).

    The score of item i is `u . v_i`, with `u = [u^H; u^S]` and `v_i = [h_i; s_i]` for two branches, and one half alone
    for one-branch models (design: dual branch). A seen part may follow in both vectors.

    Args:
        encoder: `DualBranchEncoder` for `branches="dual"`, else `SingleBranchEncoder`.
        branches: "dual", "hid" (HID alone), "sid" (SID alone), "sum" (`h + s` in one branch) or "concat" (`[h; s]`).
        hash_ids: HID embedding; not needed for "sid".
        semantic_ids: SID embedding; not needed for "hid".
        cosine: gives user and item vectors length 1, and an item's two halves the same length. A score is then the
            halves' cosines, weighted by how much of the user's vector lies in each half: the model learns for each
            user how far to trust either ID space.
        seen: the score's part for items of the history (`SeenSlots`), or None.

    Raises:
        ValueError: parts that do not fit together; the message names the argument.
    """

    def __init__(
        self,
        *,
        encoder: keras.layers.Layer,
        branches: str = "dual",
        hash_ids: Any = None,
        semantic_ids: Any = None,
        cosine: bool = True,
        seen: SeenSlots | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if branches not in BRANCHES:
            raise ValueError(f"`branches` must be one of {', '.join(BRANCHES)}, got '{branches}'")
        if hash_ids is None and branches != "sid":
            raise ValueError(f"`hash_ids` is needed for branches '{branches}'")
        if semantic_ids is None and branches != "hid":
            raise ValueError(f"`semantic_ids` is needed for branches '{branches}'")
        self.branches = branches
        self.encoder = encoder
        # Which of the two is there was checked against `branches`.
        self.hash_ids: Any = hash_ids
        self.semantic_ids: Any = semantic_ids
        self.cosine = cosine
        self.seen = seen
        self.num_items: int = (self.semantic_ids if hash_ids is None else self.hash_ids).num_items
        if branches == "concat":
            width = self.hash_ids.dimensions
            self._join = Dense(width, name="join")
            self._part = Dense(2 * width, name="part")

    @property
    def mask_token(self) -> int:
        """Index of the cloze mask token, N + 1."""
        return self.num_items + 1

    def item_table(self) -> tf.Tensor:
        """float32 `[N + 1, D]`: vectors of all items, as the score uses them; row 0 (padding) is zero."""
        learned = self.learned_table()
        return learned if self.seen is None else tf.concat([learned, self.seen.table()], axis=1)

    def learned_table(self) -> tf.Tensor:
        """`item_table` without the seen part."""
        return self._item_vectors(lambda part: part.table())

    def learned_rows(self, items: tf.Tensor) -> tf.Tensor:
        """int32 `[n]` item indices 0..N -> float32 `[n, D]`, their rows of `learned_table`; O(n)."""
        return self._item_vectors(lambda part: part.table_rows(items))

    def _item_vectors(self, rows_of: Callable[[Any], tf.Tensor]) -> tf.Tensor:
        if self.branches == "sum":
            return self._of_items(rows_of(self.hash_ids) + rows_of(self.semantic_ids))
        parts = {"hid": [self.hash_ids], "sid": [self.semantic_ids]}.get(
            self.branches, [self.hash_ids, self.semantic_ids]
        )
        return self._of_items(*map(rows_of, parts))

    @property
    def seen_size(self) -> int:
        """Last columns of user and item vectors that only tell what was seen; they say nothing about likeness."""
        return 0 if self.seen is None else self.seen.num_slots

    def seen_slots(self) -> np.ndarray | None:
        """int32 `[N + 1]`: the column of the seen part in which each item index has its 1; `seen_size` for none.

        None without a seen part.
        """
        return None if self.seen is None else self.seen.item_slots()

    def cold_item_vectors(
        self, codes: tf.Tensor, mean: Callable[[Callable[[tf.Tensor], tf.Tensor]], tf.Tensor]
    ) -> tf.Tensor:
        """Vectors of items that are not in the catalogue, as `item_table` has them for those that are.

        Args:
            codes: int32 `[B, L]`.
            mean: from a function that gives single items' rows (int32 `[n]` -> float `[n, w]`) to the mean row over
                each item's nearest trained items, float32 `[B, w]`.

        Returns:
            float32 `[B, D]`.
        """
        parts = []
        if self.branches != "sid":
            parts.append(mean(self.hash_ids))
        if self.branches != "hid":
            parts.append(tf.cast(self.semantic_ids.of_codes(codes), tf.float32))
        learned = self._of_items(tf.add_n(parts)) if self.branches == "sum" else self._of_items(*parts)
        # Nobody has seen them: no slot.
        return tf.pad(learned, [[0, 0], [0, self.seen_size]])

    def encode(
        self, items: tf.Tensor, *, with_masked: bool = False, training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """User vectors at every position.

        Args:
            items: int32 `[B, T]` item indices, 0 pads; `mask_token` may stand for an item. Outputs stand where the
                items stand, so the last position is a row's last item only where 0 pads in front.
            with_masked: also return the masked-granularity view.
            training: switches dropout on.

        Returns:
            `user` float32 `[B, T, D]`, as the score uses it, and `learned`, the same without the seen part; with views
            also `hid` and, if asked for, `masked` `[B, T, d]` before scoring, and `gate` `[B, T, L]`.
        """
        outputs = self.encode_learned(items, with_masked=with_masked, training=training)
        user = outputs["learned"]
        if self.seen is not None:
            user = tf.concat([user, self.seen(items, causal=self.encoder.causal)], axis=-1)
        return {**outputs, "user": user}

    def encode_learned(
        self, items: tf.Tensor, *, with_masked: bool = False, training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """`encode` without `user`: what needs no seen part."""
        real = items != 0
        if self.branches == "dual":
            views = self.semantic_ids.views(items)
            fused = self.semantic_ids.fuse(views)
            inputs = (self.hash_ids(items), views, fused)
            outputs = self.encoder(inputs, real=real, with_masked=with_masked, training=training)
            return {**outputs, "learned": self._of_users(outputs["hid"], outputs["sid"])}
        vectors = self.encoder(self._single_input(items), real=real, training=training)
        if self.branches == "concat":
            return {"learned": self._of_users(self._part(vectors))}
        return {"learned": self._of_users(vectors)}

    def _single_input(self, items: tf.Tensor) -> tf.Tensor:
        if self.branches == "hid":
            return self.hash_ids(items)
        if self.branches == "sid":
            return self.semantic_ids(items)
        hid, sid = self.hash_ids(items), self.semantic_ids(items)
        return hid + sid if self.branches == "sum" else self._join(tf.concat([hid, sid], axis=-1))

    def _of_items(self, *halves: tf.Tensor) -> tf.Tensor:
        """One or two `[..., d]` as one `[..., D]` float32; with `cosine`, halves of equal length in a unit vector."""
        vectors = [tf.cast(half, tf.float32) for half in halves]
        if self.cosine:
            # A temperature then means the same sharpness for models of one and of two branches.
            vectors = [tf.math.l2_normalize(half, axis=-1) * len(halves) ** -0.5 for half in vectors]
        return tf.concat(vectors, axis=-1)

    def _of_users(self, *halves: tf.Tensor) -> tf.Tensor:
        """One or two `[..., d]` as one `[..., D]` float32; with `cosine`, a unit vector as a whole."""
        vector = tf.concat([tf.cast(half, tf.float32) for half in halves], axis=-1)
        return tf.math.l2_normalize(vector, axis=-1) if self.cosine else vector

    def call(self, items: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Integer `[B, T]` histories, zeros anywhere -> float32 `[B, D]` user vectors for the next item."""
        items = item_rows(items)
        if not self.encoder.causal:
            mask_column = tf.fill([tf.shape(items)[0], 1], tf.constant(self.mask_token, items.dtype))
            items = tf.concat([items, mask_column], axis=1)
        return self.encode(items, training=training)["user"][:, -1]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def user_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """`call` for inference, traced once: int32 `[B, T]` histories -> float32 `[B, D]` user vectors."""
        return self(items, training=False)
