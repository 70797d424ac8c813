"""The training function."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from h2rec_tf.data.batches import TrainingBatches
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import H2RecError, InputError
from h2rec_tf.evaluation import Evaluation, evaluate
from h2rec_tf.models.cold_start import cold_rows, turned
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.vector_recommender import VectorRecommender
from h2rec_tf.training.calibration import calibrate_cold, calibrate_seen
from h2rec_tf.training.execution import adam, computing_in, strategy_named
from h2rec_tf.training.logs import TensorBoardLog
from h2rec_tf.training.schedule import WarmupSchedule
from h2rec_tf.training.state import Checkpoints, RunState

_LOG = logging.getLogger(__name__)

# Validation users that size the seen weight; each of the few weights tried costs one evaluation of them.
_CALIBRATION_USERS = 5000


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained model and how it got there.

    Attributes:
        model: with the best epoch's variables; cold items have HID rows.
        best_epoch: 1-based.
        best_ndcg_at_10: validation NDCG@10 of the returned model, full ranking.
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
    min_epoch_steps: int = 0,
    batch_size: int = 128,
    batch_positions: int = 0,
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
    run_key: str = "",
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Trains until validation NDCG@10 (full ranking) stops rising, and returns the best epoch's model.

    The weight of the model's seen part and the place of cold items are then set on validation users
    (`calibrate_seen`, `calibrate_cold`).

    Args:
        build: makes the model; called inside the distribution strategy's scope.
        train_split: what is learned from.
        validation: what early stopping looks at.
        max_length: items of history the model reads.
        epochs: at most so many.
        min_epoch_steps: an epoch is as many passes over the data as make at least so many steps.
        batch_size: sequences in a step at most, over all replicas.
        batch_positions: positions in a step at most, padding counted: long histories make smaller batches; 0 sets no
            such limit.
        learning_rate: Adam's, at its peak.
        schedule: "constant", "cosine" or "linear" after the warm-up.
        warmup_steps: steps of linear warm-up.
        clip_norm: global gradient norm at most; 0 does not clip.
        weight_decay: decoupled, as AdamW; 0 is Adam.
        patience: epochs without a better validation NDCG@10 before training stops.
        max_steps: optimizer steps at most; 0 means no such limit.
        validation_users: random validation rows used; 0 uses all.
        strategy: "default", "mirrored" or "multi_worker".
        precision: "float32", "mixed_bfloat16" or "mixed_float16" (with dynamic loss scaling).
        seed: of batches and validation rows; `build` seeds the model.
        codes: int `[N, L]`, for the HID rows of cold items; None leaves those rows as they are.
        directory: for checkpoints, the run's record and TensorBoard logs; a run killed there goes on from its last
            epoch to the same result. None keeps everything in memory.
        run_key: what `build` was configured with, in any form; a run killed under another key is not gone on with.
        on_epoch: called after each epoch with its number (1-based) and figures; what it raises ends the training.
        progress: shows a bar on stderr with throughput and time left.

    Raises:
        InputError: no sequence of two items to train on, or nothing to validate on.
        H2RecError: the loss stopped being finite.
    """
    batches = TrainingBatches(
        train_split, max_length, batch_size, seed, min_steps=min_epoch_steps, max_positions=batch_positions
    )
    if not len(batches):
        raise InputError(
            "training: no user has two or more items in the training split; check the split and k-core options"
        )
    if not len(validation):
        raise InputError("training: the validation split is empty; hold out more interactions")
    validation = _sample(validation, validation_users, seed)
    distribution = strategy_named(strategy)
    steps = len(batches) * epochs if not max_steps else min(max_steps, len(batches) * epochs)
    with distribution.scope(), computing_in(precision):
        model = build()
        optimizer = adam(
            WarmupSchedule(schedule, peak=learning_rate, warmup_steps=warmup_steps, total_steps=steps),
            clip_norm=clip_norm,
            weight_decay=weight_decay,
        )
        optimizer.build(model.trainable_variables)
        model.compile(optimizer=optimizer)
    popularity = np.bincount(train_split.items, minlength=model.num_items + 1)

    def measure(holdout: Holdout) -> Evaluation:
        recommender = VectorRecommender(model, max_length=max_length)
        return evaluate(recommender, holdout, popularity=popularity, ks=(10,), recommendation_k=0)

    state, checkpoints = RunState(), None
    if directory is not None:
        run: tuple[Any, ...] = (
            batch_size,
            batch_positions,
            min_epoch_steps,
            learning_rate,
            schedule,
            warmup_steps,
            clip_norm,
            weight_decay,
            max_steps,
        )
        run += (seed, epochs, max_length, precision, run_key)
        checkpoints = Checkpoints(
            f"{directory}/checkpoints",
            fingerprint=_fingerprint(run, train_split, model),
            last={"model": model, "optimizer": optimizer},
            best={"model": model},
        )
    # Before restoring: drift is measured from the start values, whatever session of the run measures it.
    log = TensorBoardLog(f"{directory}/tensorboard" if directory else None, model)
    if checkpoints is not None:
        state = checkpoints.restore()
    best_weights: list[np.ndarray] = []
    step_function = _step_function(model, distribution, _epoch_data(batches, 0, distribution).element_spec)
    sample = validation.histories.padded(np.arange(min(len(validation), 256)), max_length)
    with tqdm(
        total=steps, initial=int(optimizer.iterations.numpy()), unit="step", disable=None if progress else True
    ) as bar:
        while state.epoch < epochs and state.waited < patience:
            began = time.perf_counter()
            limit = max_steps - int(optimizer.iterations.numpy()) if max_steps else None
            if limit is not None and limit <= 0:
                break
            figures = _run_epoch(model, step_function, distribution, batches, state.epoch, limit, bar)
            result = measure(validation)
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
            _LOG.info("%s, %.0f s, %.0f sequences/s", summary, figures["seconds"], figures["sequences_per_second"])
            log.epoch(state.epoch, figures, sample)
            if checkpoints is not None:
                checkpoints.save(state)
            if on_epoch is not None:
                on_epoch(state.epoch, figures)
    if checkpoints is not None:
        checkpoints.restore_best()
    else:
        for variable, value in zip(model.variables, best_weights, strict=True):
            variable.assign(value)
    best = state.best
    part = _sample(validation, _CALIBRATION_USERS, seed)
    calibrated = False
    if model.seen is not None:
        weight = model.seen.weight

        def quality(value: float) -> float:
            weight.assign(value)
            return measure(part).metric("ndcg@10")

        weight.assign(calibrate_seen(float(weight.numpy()), quality))
        calibrated = True
    cold = np.flatnonzero(popularity[1:] == 0) + 1
    if codes is not None and model.hash_ids is not None and len(cold):
        table, trained = model.hash_ids.embeddings, model.hash_ids.embeddings.numpy()
        means = cold_rows(trained[1:-1], codes, popularity)[cold - 1]

        def place(share: float) -> None:
            rows = trained.copy()
            rows[cold] = turned(trained[cold], means, share)
            table.assign(rows)

        def quality_with(share: float) -> float:
            place(share)
            return measure(part).metric("ndcg@10")

        share = calibrate_cold(quality_with)
        place(share)
        calibrated = True
        _LOG.info("cold items: %.0f %% of their code neighbours' direction", 100 * share)
    if calibrated:
        best = measure(validation).metric("ndcg@10")
    return TrainingResult(model, state.best_epoch, best, state.history, state.seconds)


def _run_epoch(
    model: H2Rec,
    step_function: Callable[[Any], tf.Tensor],
    distribution: tf.distribute.Strategy,
    batches: TrainingBatches,
    epoch: int,
    limit: int | None,
    bar: tqdm,
) -> dict[str, float]:
    data = _epoch_data(batches, epoch, distribution)
    for metric in model.metrics:
        metric.reset_state()
    losses, sequences, began = [], 0, time.perf_counter()
    for batch in itertools.islice(data, limit):
        losses.append(step_function(batch))
        sequences += sum(len(part) for part in distribution.experimental_local_results(batch))
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


def _epoch_data(batches: TrainingBatches, epoch: int, distribution: tf.distribute.Strategy) -> Any:
    data = tf.data.Dataset.from_generator(
        lambda: batches.epoch(epoch), output_signature=tf.TensorSpec([None, None], tf.int32)
    ).prefetch(4)
    return distribution.experimental_distribute_dataset(data) if distribution.num_replicas_in_sync > 1 else data


def _step_function(model: H2Rec, distribution: tf.distribute.Strategy, spec: Any) -> Callable[[Any], tf.Tensor]:
    def step(batch: tf.Tensor) -> tf.Tensor:
        return model.train_step(batch)["loss"]

    def distributed(batch: Any) -> tf.Tensor:
        return distribution.reduce(tf.distribute.ReduceOp.SUM, distribution.run(step, args=(batch,)), axis=None)

    # One trace for all lengths of sequences. The model has no Python control flow on tensors, and looking for it would
    # take seconds.
    function = step if distribution.num_replicas_in_sync == 1 else distributed
    return tf.function(function, input_signature=[spec], autograph=False)


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
    for variable in model.variables:
        digest.update(f"{variable.name}{variable.shape}".encode())
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
