"""The H2Rec model as a TensorFlow Recommenders model; baselines and ablations are other parts in the same frame."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from h2rec_tf.layers.seen_slots import SeenSlots
from h2rec_tf.losses.neighbour_teacher import NeighbourTeacher
from h2rec_tf.models.item_rows import item_rows
from h2rec_tf.models.trainable_model import TrainableModel, rows_of_step, sum_of_replicas


class H2Rec(TrainableModel):
    """Sequential recommender over hash IDs and semantic IDs that learns by next items and by aligning the two spaces.

    Args:
        encoder: as `VectorModel` takes it.
        next_item: the next-item loss, called with user vectors, targets and the item table.
        branches: as `VectorModel` takes it.
        hash_ids: as `VectorModel` takes it.
        semantic_ids: as `VectorModel` takes it.
        cosine: as `VectorModel` takes it.
        item_alignment: item-level loss, or None.
        item_alignment_weight: its lambda.
        user_alignment: user-level loss, or None; needs granularity views.
        user_alignment_weight: its lambda.
        seen: as `VectorModel` takes it.
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
        super().__init__(
            encoder=encoder,
            branches=branches,
            hash_ids=hash_ids,
            semantic_ids=semantic_ids,
            cosine=cosine,
            seen=seen,
            **kwargs,
        )
        if item_alignment is not None and (hash_ids is None or semantic_ids is None):
            raise ValueError("`item_alignment` needs `hash_ids` and `semantic_ids`")
        if user_alignment is not None and not getattr(encoder, "has_views", False):
            raise ValueError("`user_alignment` needs an encoder with granularity views")
        if teacher is not None and getattr(next_item, "kind", "") == "bce":
            raise ValueError("`teacher` needs a softmax loss, not 'bce'")
        self.next_item = next_item
        self.item_alignment = item_alignment
        self.item_alignment_weight = item_alignment_weight
        self.user_alignment = user_alignment
        self.user_alignment_weight = user_alignment_weight
        self.teacher = teacher
        self.teacher_share = teacher_share
        self.cloze_rate = cloze_rate
        self._cloze_generator = tf.random.Generator.from_seed(seed)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """Next-item loss at every real position plus the weighted alignment losses (design: loss).

        Without the layers' regularization losses, as in every TensorFlow Recommenders model.

        Args:
            inputs: integer `[B, T + 1]` sequences, zeros anywhere; each item is predicted from those before it.
            training: switches dropout on.

        Returns:
            Scalar float32; on several replicas this one's part, so that their sum is the mean over the step's targets.
        """
        items = item_rows(inputs)
        if self.encoder.causal:
            history, targets = items[:, :-1], items[:, 1:]
            predicted = history != 0
        else:
            history, targets, predicted = self._cloze(items)
        outputs = self.encode_learned(history, with_masked=self.user_alignment is not None, training=training)
        where = tf.where(predicted)
        next_items = tf.gather_nd(targets, where)
        share = _replica_share(tf.shape(next_items)[0])
        rows = rows_of_step(items)
        negatives = self.next_item.draw(next_items)
        edges = None if self.teacher is None else self.teacher.edges(history)
        asked, table = self._asked_items(next_items, negatives, edges)
        users = tf.gather_nd(outputs["learned"], where)
        seen = None
        if self.seen is not None:
            marks = self.seen.marks(history, causal=self.encoder.causal)
            seen = self.seen.scores(tf.gather_nd(marks, where), asked)
        total = self.next_item(users, next_items, table, items=asked, negatives=negatives, seen=seen)
        self._record("next_item_loss", total * share, rows)
        if self.teacher is not None:
            # The seen part is left out: the teacher names no seen item, and who shares its slots says nothing.
            expected, known = self.teacher(history, table, rows=asked, edges=edges)
            place = next_items if asked is None else tf.searchsorted(asked, next_items)
            moved = tf.gather(table, place) - tf.gather_nd(expected, where)
            loss = self._teacher_loss(users, moved, tf.gather_nd(known, where))
            self._record("teacher_loss", loss * share, rows)
            total += self.teacher_share * loss
        if self.item_alignment is not None:
            loss = self.item_alignment(items, hid=self.hash_ids, sid=self.semantic_ids)
            self._record("item_alignment_loss", loss * share, rows)
            total += self.item_alignment_weight * loss
        if self.user_alignment is not None:
            loss = self.user_alignment(outputs["hid"][:, -1], outputs["masked"][:, -1], real=history[:, -1] != 0)
            self._record("user_alignment_loss", loss * share, rows)
            total += self.user_alignment_weight * loss
        # Replicas' gradients are summed.
        return total * share

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

    def _cloze(self, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        draws = self._cloze_generator.uniform(tf.shape(items))
        # Half of the rows train what serving does: the mask token at the end, nothing hidden before it.
        last_only = self._cloze_generator.uniform([tf.shape(items)[0], 1]) < 0.5
        is_last = tf.range(tf.shape(items)[1])[None, :] == tf.shape(items)[1] - 1
        chosen = tf.where(last_only, tf.broadcast_to(is_last, tf.shape(items)), draws < self.cloze_rate)
        chosen = tf.logical_and(chosen, items != 0)
        history = tf.where(chosen, tf.constant(self.mask_token, items.dtype), items)
        return history, items, chosen


def _replica_share(targets: tf.Tensor) -> tf.Tensor | float:
    """Share of the step's targets that this replica holds: rows differ in length, and a row that fills up has none."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return 1.0
    mine = tf.cast(targets, tf.float32)
    return tf.math.divide_no_nan(mine, sum_of_replicas(mine))
