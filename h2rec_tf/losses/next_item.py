"""Next-item losses: which of N items follows.

All take user vectors at real positions only (padding is gathered away before), so padding has neither loss nor
gradient, and return a mean over those positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from h2rec_tf.layers.seen_slots import SeenScores

KINDS = ("full_softmax", "sampled_softmax", "bce", "in_batch")


def full_softmax(
    users: tf.Tensor, targets: tf.Tensor, table: tf.Tensor, *, temperature: float, seen: SeenScores | None = None
) -> tf.Tensor:
    """Cross-entropy over the whole catalogue.

    Args:
        users: float32 `[M, D]`.
        targets: int32 `[M]`, 1..N.
        table: float32 `[N + 1, D]` item vectors; row 0 (padding) never competes.
        temperature: divides the scores.
        seen: what is added to the inner products for items of the history; None adds nothing.

    Returns:
        float32 `[M]`.
    """
    # Scaling the small factor saves two passes over [M, N].
    logits = tf.matmul(users / temperature, table[1:], transpose_b=True)
    if seen is not None:
        logits += seen.of_all()[:, 1:] / temperature
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets - 1, logits)


def sampled_softmax(
    users: tf.Tensor,
    targets: tf.Tensor,
    table: tf.Tensor,
    *,
    negatives: tf.Tensor,
    log_q: tf.Tensor,
    temperature: float,
    seen: SeenScores | None = None,
) -> tf.Tensor:
    """Softmax over the target and shared negatives, corrected for how they were drawn (Bengio 2008).

    Args:
        users: float32 `[M, D]`.
        targets: int32 `[M]`, 1..N.
        table: float32 `[N + 1, D]`.
        negatives: int32 `[S]` item indices drawn with replacement; one that equals a row's target is ignored there.
        log_q: float32 `[N + 1]`, log of the expected number of draws of each item.
        temperature: divides the scores before the correction.
        seen: as for `full_softmax`.

    Returns:
        float32 `[M]`.
    """
    positive = tf.reduce_sum(users * tf.gather(table, targets), axis=-1)
    others = tf.matmul(users, tf.gather(table, negatives), transpose_b=True)
    if seen is not None:
        positive += seen.of_own(targets)
        others += seen.of_all(negatives)
    positive = positive / temperature - tf.gather(log_q, targets)
    others /= temperature
    others -= tf.gather(log_q, negatives)[None, :]
    others = tf.where(negatives[None, :] == targets[:, None], tf.constant(-np.inf, others.dtype), others)
    return tf.reduce_logsumexp(tf.concat([positive[:, None], others], axis=1), axis=1) - positive


def binary_cross_entropy(
    users: tf.Tensor,
    targets: tf.Tensor,
    table: tf.Tensor,
    *,
    negatives: tf.Tensor,
    temperature: float,
    seen: SeenScores | None = None,
) -> tf.Tensor:
    """Logistic loss of the target against `n` negatives of its own (SASRec, Kang and McAuley 2018, eq. 6).

    Args:
        users: float32 `[M, D]`.
        targets: int32 `[M]`, 1..N.
        table: float32 `[N + 1, D]`.
        negatives: int32 `[M, n]` item indices; one that equals the row's target is ignored.
        temperature: divides the scores.
        seen: as for `full_softmax`.

    Returns:
        float32 `[M]`: positive term plus the mean negative term.
    """
    positive = tf.reduce_sum(users * tf.gather(table, targets), axis=-1)
    others = tf.einsum("md,mnd->mn", users, tf.gather(table, negatives))
    if seen is not None:
        positive += seen.of_own(targets)
        others += seen.of_own(negatives)
    positive, others = positive / temperature, others / temperature
    real = tf.cast(negatives != targets[:, None], others.dtype)
    negative = tf.math.divide_no_nan(tf.reduce_sum(tf.nn.softplus(others) * real, axis=1), tf.reduce_sum(real, axis=1))
    return tf.nn.softplus(-positive) + negative


@keras.utils.register_keras_serializable("h2rec_tf")
class NextItemLoss(keras.layers.Layer):
    """Draws negatives where the kind needs them and applies the loss.

    Args:
        kind: "full_softmax", "sampled_softmax" (shared negatives, log-Q corrected), "bce" or "in_batch" (the batch's
            other targets, log-Q corrected, accidental hits removed, through `tfrs.tasks.Retrieval`).
        frequencies: `[N + 1]` training interactions of each item index. Sampled softmax draws negatives in proportion
            to frequency ** 0.75 + 1; "bce" draws uniformly.
        negatives: S (sampled softmax, for the batch) or n (BCE, for each position).
        temperature: divides the inner products.
        seed: of the draws.
    """

    def __init__(
        self,
        kind: str,
        *,
        frequencies: np.ndarray,
        negatives: int = 512,
        temperature: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        # Scores stay float32 under a mixed policy: near ties decide a ranking.
        super().__init__(autocast=False, **kwargs)
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got '{kind}'")
        self.kind = kind
        self.frequencies = np.asarray(frequencies, np.float64)
        self.negatives = negatives
        self.temperature = temperature
        self.seed = seed
        mass = self.frequencies[1:] ** 0.75 + 1.0
        share = mass / mass.sum()
        self._cumulative = np.cumsum(share).astype(np.float32)
        self._log_q = np.concatenate([[0.0], np.log(share * negatives)]).astype(np.float32)
        occurrences = np.maximum(self.frequencies, 1.0) / max(self.frequencies.sum(), 1.0)
        self._batch_share = occurrences.astype(np.float32)
        self._retrieval = None
        if kind == "in_batch":
            self._retrieval = tfrs.tasks.Retrieval(
                loss=keras.losses.CategoricalCrossentropy(from_logits=True, reduction=keras.losses.Reduction.SUM),
                temperature=temperature,
                remove_accidental_hits=True,
            )
        # Tracked, so that a training run resumed from a checkpoint draws the same negatives.
        self._generator = tf.random.Generator.from_seed(seed)

    def draw(self, targets: tf.Tensor) -> tf.Tensor | None:
        """Negatives for a batch of int32 `[M]` targets: int32 `[S]` (sampled softmax) or `[M, n]` (BCE), else None."""
        if self.kind == "sampled_softmax":
            negatives = 1 + tf.searchsorted(tf.constant(self._cumulative), self._generator.uniform([self.negatives]))
            return tf.minimum(negatives, len(self._cumulative))
        if self.kind == "bce":
            shape = [tf.shape(targets)[0], self.negatives]
            return self._generator.uniform(shape, 1, len(self._cumulative) + 1, dtype=tf.int32)
        return None

    def call(
        self,
        users: tf.Tensor,
        targets: tf.Tensor,
        table: tf.Tensor,
        *,
        items: tf.Tensor | None = None,
        negatives: tf.Tensor | None = None,
        seen: SeenScores | None = None,
    ) -> tf.Tensor:
        """The loss of a batch.

        Args:
            users: float32 `[M, D]`.
            targets: int32 `[M]` item indices.
            table: float32 `[n, D]` item vectors.
            items: int32 `[n]`, ascending item indices of the table's rows; None: row i is item i.
            negatives: what `draw` gave; None draws.
            seen: what is added to the inner products for items of the history, over the table's rows; None adds
                nothing.

        Returns:
            Scalar mean loss; 0 where M is 0.
        """

        def rows(indices: tf.Tensor) -> tf.Tensor:
            if items is None:
                return indices
            return tf.reshape(tf.searchsorted(items, tf.reshape(indices, [-1])), tf.shape(indices))

        count = tf.cast(tf.shape(targets)[0], tf.float32)
        if self._retrieval is not None:
            candidates = tf.gather(table, rows(targets))
            if seen is not None:
                # The task takes vectors.
                users = tf.concat([users, seen.users()], axis=1)
                candidates = tf.concat([candidates, seen.items(rows(targets))], axis=1)
            # The task cannot take an empty batch.
            total = tf.cond(count > 0, lambda: self._in_batch(users, targets, candidates), lambda: tf.zeros([]))
            return tf.math.divide_no_nan(total, count)
        if self.kind == "full_softmax":
            losses = full_softmax(users, targets, table, temperature=self.temperature, seen=seen)
            return tf.math.divide_no_nan(tf.reduce_sum(losses), count)
        drawn = self.draw(targets) if negatives is None else negatives
        if self.kind == "sampled_softmax":
            log_q = tf.constant(self._log_q)
            losses = sampled_softmax(
                users,
                rows(targets),
                table,
                negatives=rows(drawn),
                log_q=log_q if items is None else tf.gather(log_q, items),
                temperature=self.temperature,
                seen=seen,
            )
        else:
            losses = binary_cross_entropy(
                users, rows(targets), table, negatives=rows(drawn), temperature=self.temperature, seen=seen
            )
        return tf.math.divide_no_nan(tf.reduce_sum(losses), count)

    # The task's Python conditions on tensors need AutoGraph, which callers may have switched off.
    @tf.function(reduce_retracing=True)
    def _in_batch(self, users: tf.Tensor, targets: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        return self._retrieval(  # type: ignore[misc]
            users,
            candidates,
            candidate_sampling_probability=tf.gather(tf.constant(self._batch_share), targets),
            candidate_ids=targets,
            compute_metrics=False,
        )

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments."""
        config = {
            "kind": self.kind,
            "frequencies": self.frequencies.tolist(),
            "negatives": self.negatives,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}
