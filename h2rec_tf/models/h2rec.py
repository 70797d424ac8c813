"""The H2Rec model as a TensorFlow Recommenders model; baselines and ablations are other parts in the same frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from h2rec_tf.layers.seen_slots import SeenSlots
from h2rec_tf.losses.neighbour_teacher import NeighbourTeacher

BRANCHES = ("dual", "hid", "sid", "sum", "concat")


class H2Rec(tfrs.Model):
    """Sequential recommender over hash IDs and semantic IDs with one inner product for scoring.

    The score of item i is `u . v_i`, with `u = [u^H; u^S]` and `v_i = [h_i; s_i]` for two branches, and one half alone
    for one-branch models (design: dual branch). A seen part may follow in both vectors.

    Args:
        encoder: `DualBranchEncoder` for `branches="dual"`, else `SingleBranchEncoder`.
        next_item: the next-item loss, called with user vectors, targets and the item table.
        branches: "dual", "hid" (HID alone), "sid" (SID alone), "sum" (`h + s` in one branch) or "concat" (`[h; s]`).
        hash_ids: HID embedding; not needed for "sid".
        semantic_ids: SID embedding; not needed for "hid".
        cosine: gives each half of both vectors the same length and the whole length 1, so that a score is the mean of
            the halves' cosines.
        item_alignment: item-level loss, or None.
        item_alignment_weight: its lambda.
        user_alignment: user-level loss, or None; needs granularity views.
        user_alignment_weight: its lambda.
        seen: the score's part for items of the history (`SeenSlots`), or None.
        teacher: soft targets beside the observed ones (`NeighbourTeacher`), or None; for softmax losses.
        teacher_share: the teacher's share of a target.
        cloze_rate: share of positions masked in training by a bidirectional backbone.
        seed: of the cloze masks.

    Raises:
        ValueError: parts that do not fit together; the message names the argument.
    """

    def __init__(
        self,
        *,
        encoder: keras.layers.Layer,
        next_item: keras.layers.Layer,
        branches: str = "dual",
        hash_ids: Any = None,
        semantic_ids: Any = None,
        cosine: bool = True,
        item_alignment: keras.layers.Layer | None = None,
        item_alignment_weight: float = 0.1,
        user_alignment: keras.layers.Layer | None = None,
        user_alignment_weight: float = 0.1,
        seen: SeenSlots | None = None,
        teacher: NeighbourTeacher | None = None,
        teacher_share: float = 0.3,
        cloze_rate: float = 0.3,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if branches not in BRANCHES:
            raise ValueError(f"`branches` must be one of {', '.join(BRANCHES)}, got '{branches}'")
        if hash_ids is None and branches != "sid":
            raise ValueError(f"`hash_ids` is needed for branches '{branches}'")
        if semantic_ids is None and branches != "hid":
            raise ValueError(f"`semantic_ids` is needed for branches '{branches}'")
        if item_alignment is not None and (hash_ids is None or semantic_ids is None):
            raise ValueError("`item_alignment` needs `hash_ids` and `semantic_ids`")
        if user_alignment is not None and not getattr(encoder, "has_views", False):
            raise ValueError("`user_alignment` needs an encoder with granularity views")
        if teacher is not None and getattr(next_item, "kind", "") == "bce":
            raise ValueError("`teacher` needs a softmax loss, not 'bce'")
        self.branches = branches
        self.encoder = encoder
        # Which of the two is there was checked against `branches`.
        self.hash_ids: Any = hash_ids
        self.semantic_ids: Any = semantic_ids
        self.next_item = next_item
        self.cosine = cosine
        self.item_alignment = item_alignment
        self.item_alignment_weight = item_alignment_weight
        self.user_alignment = user_alignment
        self.user_alignment_weight = user_alignment_weight
        self.seen = seen
        self.teacher = teacher
        self.teacher_share = teacher_share
        self.cloze_rate = cloze_rate
        self.num_items: int = (self.semantic_ids if hash_ids is None else self.hash_ids).num_items
        if branches == "concat":
            width = self.hash_ids.dimensions
            self._join = keras.layers.Dense(width, name="join")
            self._part = keras.layers.Dense(2 * width, name="part")
        self._cloze_generator = tf.random.Generator.from_seed(seed)
        self._loss_means = {
            name: keras.metrics.Mean(name=name)
            for name in ("next_item_loss", "teacher_loss", "item_alignment_loss", "user_alignment_loss")
        }

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
            return self._scored(rows_of(self.hash_ids) + rows_of(self.semantic_ids))
        parts = {"hid": [self.hash_ids], "sid": [self.semantic_ids]}.get(
            self.branches, [self.hash_ids, self.semantic_ids]
        )
        return self._scored(*map(rows_of, parts))

    @property
    def seen_size(self) -> int:
        """Last columns of user and item vectors that only tell what was seen; they say nothing about likeness."""
        return 0 if self.seen is None else self.seen.num_slots

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
        learned = self._scored(tf.add_n(parts)) if self.branches == "sum" else self._scored(*parts)
        # Nobody has seen them: no slot.
        return tf.pad(learned, [[0, 0], [0, self.seen_size]])

    def encode(
        self, items: tf.Tensor, *, with_masked: bool = False, training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """User vectors at every position.

        Args:
            items: int32 `[B, T]` item indices, left padded with 0; `mask_token` may stand for an item.
            with_masked: also return the masked-granularity view.
            training: switches dropout on.

        Returns:
            `user` float32 `[B, T, D]`, as the score uses it, and `learned`, the same without the seen part; with views
            also `hid` and, if asked for, `masked` `[B, T, d]` before scoring, and `gate` `[B, T, L]`.
        """
        outputs = self._encode_learned(items, with_masked=with_masked, training=training)
        user = outputs["learned"]
        if self.seen is not None:
            user = tf.concat([user, self.seen(items, causal=self.encoder.causal)], axis=-1)
        return {**outputs, "user": user}

    def _encode_learned(
        self, items: tf.Tensor, *, with_masked: bool = False, training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        real = items != 0
        if self.branches == "dual":
            views = self.semantic_ids.views(items)
            fused = self.semantic_ids.fuse(views)
            inputs = (self.hash_ids(items), views, fused)
            outputs = self.encoder(inputs, real=real, with_masked=with_masked, training=training)
            return {**outputs, "learned": self._scored(outputs["hid"], outputs["sid"])}
        vectors = self.encoder(self._single_input(items), real=real, training=training)
        if self.branches == "concat":
            return {"learned": self._scored(*tf.split(self._part(vectors), 2, axis=-1))}
        return {"learned": self._scored(vectors)}

    def _single_input(self, items: tf.Tensor) -> tf.Tensor:
        if self.branches == "hid":
            return self.hash_ids(items)
        if self.branches == "sid":
            return self.semantic_ids(items)
        hid, sid = self.hash_ids(items), self.semantic_ids(items)
        return hid + sid if self.branches == "sum" else self._join(tf.concat([hid, sid], axis=-1))

    def _scored(self, *halves: tf.Tensor) -> tf.Tensor:
        """One or two `[..., d]` as one `[..., D]` float32; with `cosine`, halves of equal length in a unit vector."""
        vectors = [tf.cast(half, tf.float32) for half in halves]
        if self.cosine:
            # A temperature then means the same sharpness for models of one and of two branches.
            vectors = [tf.math.l2_normalize(half, axis=-1) * len(halves) ** -0.5 for half in vectors]
        return tf.concat(vectors, axis=-1)

    def call(self, items: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """int32 `[B, T]` histories, left padded with 0 -> float32 `[B, D]` user vectors for the next item."""
        if not self.encoder.causal:
            mask_column = tf.fill([tf.shape(items)[0], 1], tf.constant(self.mask_token, items.dtype))
            items = tf.concat([items, mask_column], axis=1)
        return self.encode(items, training=training)["user"][:, -1]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def user_vectors(self, items: tf.Tensor) -> tf.Tensor:
        """`call` for inference, traced once: int32 `[B, T]` histories -> float32 `[B, D]` user vectors."""
        return self(items, training=False)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """Next-item loss at every real position plus the weighted alignment losses (design: loss).

        Args:
            inputs: int32 `[B, T + 1]` sequences, left padded with 0; each item is predicted from those before it.
            training: switches dropout on.

        Returns:
            Scalar float32.
        """
        items = inputs
        if self.encoder.causal:
            history, targets = items[:, :-1], items[:, 1:]
            predicted = history != 0
        else:
            history, targets, predicted = self._cloze(items)
        outputs = self.encode(history, with_masked=self.user_alignment is not None, training=training)
        where = tf.where(predicted)
        next_items = tf.gather_nd(targets, where)
        negatives = self.next_item.draw(next_items)
        edges = None if self.teacher is None else self.teacher.edges(history)
        rows, learned = self._asked_items(next_items, negatives, edges)
        table = learned
        if self.seen is not None:
            seen = self.seen.table() if rows is None else self.seen.table_rows(rows)
            table = tf.concat([learned, seen], axis=1)
        users = tf.gather_nd(outputs["user"], where)
        total = self.next_item(users, next_items, table, items=rows, negatives=negatives)
        self._loss_means["next_item_loss"].update_state(total)
        if self.teacher is not None:
            # The seen part is left out: the teacher names no seen item, and who shares its slots says nothing.
            expected, known = self.teacher(history, learned, rows=rows, edges=edges)
            place = next_items if rows is None else tf.searchsorted(rows, next_items)
            moved = tf.gather(learned, place) - tf.gather_nd(expected, where)
            loss = self._teacher_loss(tf.gather_nd(outputs["learned"], where), moved, tf.gather_nd(known, where))
            self._loss_means["teacher_loss"].update_state(loss)
            total += self.teacher_share * loss
        if self.item_alignment is not None:
            loss = self.item_alignment(items, hid=self.hash_ids, sid=self.semantic_ids)
            self._loss_means["item_alignment_loss"].update_state(loss)
            total += self.item_alignment_weight * loss
        if self.user_alignment is not None:
            loss = self.user_alignment(outputs["hid"][:, -1], outputs["masked"][:, -1], real=history[:, -1] != 0)
            self._loss_means["user_alignment_loss"].update_state(loss)
            total += self.user_alignment_weight * loss
        # Replicas' gradients are summed; each carries its share of the mean.
        return total / tf.distribute.get_strategy().num_replicas_in_sync

    def _asked_items(
        self, targets: tf.Tensor, negatives: tf.Tensor | None, edges: tuple[tf.Tensor, tf.Tensor, tf.Tensor] | None
    ) -> tuple[tf.Tensor | None, tf.Tensor]:
        """Items that a step's losses ask for, ascending, and their vectors without the seen part.

        None and the whole table for a softmax over the catalogue. Else a step costs what its batch holds, not what the
        catalogue holds.
        """
        if self.next_item.kind == "full_softmax":
            return None, self.learned_table()
        asked = [targets]
        if negatives is not None:
            asked.append(tf.reshape(negatives, [-1]))
        if edges is not None:
            asked += [edges[0], tf.reshape(edges[1], [-1])]
        items = tf.sort(tf.unique(tf.concat(asked, axis=0))[0])
        return items, self.learned_rows(items)

    def _teacher_loss(self, users: tf.Tensor, moved: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """What moves a share of the softmax's targets from the observed items to the teacher's (`NeighbourTeacher`).

        `[M, D]` users, `[M, D]` observed less expected item vectors, `[M]` 1 where the teacher has an opinion.
        """
        gains = tf.reduce_sum(users * moved, axis=1) * known / self.next_item.temperature
        return tf.math.divide_no_nan(tf.reduce_sum(gains), tf.cast(tf.shape(gains)[0], gains.dtype))

    def train_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        """One optimizer step on a batch as `compute_loss` takes it; the losses apart (means so far) and `loss`.

        Float16 gradients would underflow: under that policy the loss is scaled, as Keras' own step does it.
        """
        scaling = isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            scaled = self.optimizer.get_scaled_loss(loss) if scaling else loss
        gradients = tape.gradient(scaled, self.trainable_variables)
        if scaling:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {**{metric.name: metric.result() for metric in self.metrics}, "loss": loss}

    def _cloze(self, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        draws = self._cloze_generator.uniform(tf.shape(items))
        # Half of the rows train what serving does: the mask token at the end, nothing hidden before it.
        last_only = self._cloze_generator.uniform([tf.shape(items)[0], 1]) < 0.5
        is_last = tf.range(tf.shape(items)[1])[None, :] == tf.shape(items)[1] - 1
        chosen = tf.where(last_only, tf.broadcast_to(is_last, tf.shape(items)), draws < self.cloze_rate)
        chosen = tf.logical_and(chosen, items != 0)
        history = tf.where(chosen, tf.constant(self.mask_token, items.dtype), items)
        return history, items, chosen
