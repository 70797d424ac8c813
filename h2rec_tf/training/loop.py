"""The training function."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from h2rec_tf.data.batches import TrainingBatches
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import H2RecError, InputError
from h2rec_tf.evaluation import evaluate
from h2rec_tf.models.cold_start import cold_rows
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.vector_recommender import VectorRecommender
from h2rec_tf.training.logs import TensorBoardLog
from h2rec_tf.training.schedule import WarmupSchedule
from h2rec_tf.training.state import Checkpoints, RunState

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained model and how it got there.

    Attributes:
        model: with the best epoch's variables; cold items have HID rows.
        best_epoch: 1-based.
        best_ndcg_at_10: its validation NDCG@10, full ranking.
        history: for each epoch the losses, `ndcg@10` and `hr@10` on validation, `seconds`, `sequences_per_second`.
        seconds: wall time of training and validation.
    """

    model: H2Rec
    best_epoch: int
    best_ndcg_at_10: float
    history: list[dict[str, float]]
    seconds: float

    @property
    def sequences_per_second(self) -> float:
        """Median over epochs of training sequences per second, validation not counted."""
        return float(np.median([figures["sequences_per_second"] for figures in self.history]))


def train(
    build: Callable[[], H2Rec],
    train_split: Sequences,
    validation: Holdout,
    *,
    max_length: int,
    epochs: int = 100,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    schedule: str = "constant",
    warmup_steps: int = 0,
    clip_norm: float = 5.0,
    weight_decay: float = 0.0,
    patience: int = 5,
    max_steps: int = 0,
    validation_users: int = 0,
    strategy: str = "default",
    precision: str = "float32",
    seed: int = 0,
    codes: np.ndarray | None = None,
    directory: str | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Trains until validation NDCG@10 (full ranking) stops rising, and returns the best epoch's model.

    Args:
        build: makes the model; called inside the distribution strategy's scope.
        train_split: what is learned from.
        validation: what early stopping looks at.
        max_length: items of history the model reads.
        epochs: at most so many.
        batch_size: sequences in a step, over all replicas.
        learning_rate: Adam's, at its peak.
        schedule: "constant", "cosine" or "linear" after the warm-up.
        warmup_steps: steps of linear warm-up.
        clip_norm: global gradient norm at most; 0 does not clip.
        weight_decay: decoupled, as AdamW; 0 is Adam.
        patience: epochs without a better validation NDCG@10 before training stops.
        max_steps: optimizer steps at most; 0 means no such limit.
        validation_users: random validation rows used; 0 uses all.
        strategy: "default", "mirrored" or "multi_worker".
        precision: "float32" or "mixed_bfloat16".
        seed: of batches and validation rows; `build` seeds the model.
        codes: int `[N, L]`, for the HID rows of cold items; None leaves those rows as they are.
        directory: for checkpoints, the run's record and TensorBoard logs; a run killed there goes on from its last
            epoch to the same result. None keeps everything in memory.
        progress: shows a bar on stderr with throughput and time left.

    Raises:
        InputError: no sequence of two items to train on, or nothing to validate on.
        H2RecError: the loss stopped being finite.
    """
    batches = TrainingBatches(train_split, max_length, batch_size, seed)
    if not len(batches):
        raise InputError(
            "training: no user has two or more items in the training split; check the split and k-core options"
        )
    if not len(validation):
        raise InputError("training: the validation split is empty; hold out more interactions")
    validation = _sample(validation, validation_users, seed)
    keras.mixed_precision.set_global_policy(precision)
    distribution = _strategy(strategy)
    steps = len(batches) * epochs if not max_steps else min(max_steps, len(batches) * epochs)
    with distribution.scope():
        model = build()
        optimizer = _optimizer(
            WarmupSchedule(schedule, peak=learning_rate, warmup_steps=warmup_steps, total_steps=steps),
            clip_norm=clip_norm,
            weight_decay=weight_decay,
        )
        optimizer.build(model.trainable_variables)
        model.compile(optimizer=optimizer)
    popularity = np.bincount(train_split.items, minlength=model.num_items + 1)
    state, checkpoints = RunState(), None
    if directory is not None:
        run = (batch_size, learning_rate, schedule, warmup_steps, clip_norm, weight_decay, max_steps, seed, epochs)
        checkpoints = Checkpoints(
            f"{directory}/checkpoints",
            fingerprint=_fingerprint(run, train_split, model),
            last={"model": model, "optimizer": optimizer},
            best={"model": model},
        )
        state = checkpoints.restore()
    best_weights: list[np.ndarray] = []
    log = TensorBoardLog(f"{directory}/tensorboard" if directory else None, model)
    step_function = _step_function(model, distribution)
    sample = validation.histories.padded(np.arange(min(len(validation), 256)), max_length)
    with tqdm(total=steps, initial=int(optimizer.iterations), unit="step", disable=None if progress else True) as bar:
        while state.epoch < epochs and state.waited < patience and int(optimizer.iterations) < steps:
            began = time.perf_counter()
            figures = _run_epoch(model, step_function, distribution, batches, state.epoch, steps, bar)
            result = evaluate(
                VectorRecommender(model, max_length=max_length),
                validation,
                popularity=popularity,
                ks=(10,),
                recommendation_k=1,
            )
            figures |= {name: result.metric(name) for name in ("ndcg@10", "hr@10")}
            figures["seconds"] = time.perf_counter() - began
            state.epoch += 1
            state.seconds += figures["seconds"]
            state.history.append(figures)
            state.waited += 1
            if figures["ndcg@10"] > state.best:
                state.best, state.best_epoch, state.waited = figures["ndcg@10"], state.epoch, 0
                if checkpoints is None:
                    best_weights = [variable.numpy() for variable in model.variables]
            summary = f"epoch {state.epoch}, ndcg@10 {figures['ndcg@10']:.4f} (best {state.best:.4f})"
            bar.set_postfix_str(summary)
            _LOG.info("%s, %s", summary, ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
            log.epoch(state.epoch, figures, sample)
            if checkpoints is not None:
                checkpoints.save(state)
    if checkpoints is not None:
        checkpoints.restore_best()
    else:
        for variable, value in zip(model.variables, best_weights, strict=True):
            variable.assign(value)
    if codes is not None and model.hash_ids is not None:
        rows = model.hash_ids.embeddings
        rows.assign(_with_cold_rows(rows.numpy(), codes, popularity))
    return TrainingResult(model, state.best_epoch, state.best, state.history, state.seconds)


def _run_epoch(
    model: H2Rec,
    step_function: Callable[[Any], tf.Tensor],
    distribution: tf.distribute.Strategy,
    batches: TrainingBatches,
    epoch: int,
    steps: int,
    bar: tqdm,
) -> dict[str, float]:
    data = tf.data.Dataset.from_generator(
        lambda: batches.epoch(epoch), output_signature=tf.TensorSpec([None, None], tf.int32)
    ).prefetch(4)
    if distribution.num_replicas_in_sync > 1:
        data = distribution.experimental_distribute_dataset(data)
    for metric in model.metrics:
        metric.reset_state()
    losses, sequences, began = [], 0, time.perf_counter()
    for batch in data:
        if bar.n >= steps:
            break
        losses.append(step_function(batch))
        sequences += batches.batch_size
        bar.update()
    seconds = time.perf_counter() - began
    total = float(np.mean([loss.numpy() for loss in losses]))
    if not np.isfinite(total):
        raise H2RecError(
            f"training: the loss is {total} in epoch {epoch + 1}; lower `training.learning_rate` or"
            " `training.clip_norm`, or raise `model.temperature`"
        )
    figures = {metric.name: float(metric.result()) for metric in model.metrics}
    return {**figures, "loss": total, "sequences_per_second": sequences / seconds}


def _step_function(model: H2Rec, distribution: tf.distribute.Strategy) -> Callable[[Any], tf.Tensor]:
    def step(batch: tf.Tensor) -> tf.Tensor:
        return model.train_step(batch)["loss"]

    if distribution.num_replicas_in_sync == 1:
        return tf.function(step, input_signature=[tf.TensorSpec([None, None], tf.int32)])

    @tf.function
    def distributed(batch: Any) -> tf.Tensor:
        return distribution.reduce(tf.distribute.ReduceOp.SUM, distribution.run(step, args=(batch,)), axis=None)

    return distributed


def _strategy(name: str) -> tf.distribute.Strategy:
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def _optimizer(schedule: WarmupSchedule, *, clip_norm: float, weight_decay: float) -> keras.optimizers.Optimizer:
    clip = clip_norm or None
    if weight_decay:
        return keras.optimizers.AdamW(schedule, weight_decay=weight_decay, global_clipnorm=clip, jit_compile=False)
    return keras.optimizers.Adam(schedule, global_clipnorm=clip, jit_compile=False)


def _sample(holdout: Holdout, count: int, seed: int) -> Holdout:
    if not count or count >= len(holdout):
        return holdout
    rows = np.sort(np.random.default_rng(seed).choice(len(holdout), count, replace=False))
    histories = holdout.histories
    lengths = histories.lengths[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(histories.offsets[rows], lengths)
    return Holdout(Sequences(histories.user_ids[rows], histories.items[index], offsets), holdout.targets[rows])


def _fingerprint(run: tuple[Any, ...], split: Sequences, model: H2Rec) -> str:
    digest = hashlib.sha256(json.dumps(run).encode())
    digest.update(np.ascontiguousarray(split.items).tobytes())
    digest.update(split.offsets.tobytes())
    # Start values and shapes stand for everything the model was configured with.
    for variable in model.variables:
        digest.update(f"{variable.name}{variable.shape}".encode())
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def _with_cold_rows(rows: np.ndarray, codes: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[1:-1] = cold_rows(rows[1:-1], codes, popularity)
    return rows
