"""The training function."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from h2rec_tf.data.batches import TrainingBatches
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.data.splits import nobody_to_train_on
from h2rec_tf.errors import InputError
from h2rec_tf.evaluation import Evaluation, Protocol, evaluate
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.vector_recommender import VectorRecommender
from h2rec_tf.progress import moving, ticking
from h2rec_tf.training.calibration import calibrate
from h2rec_tf.training.epochs import Epochs
from h2rec_tf.training.execution import adam, computing_in, strategy_named
from h2rec_tf.training.logs import TensorBoardLog
from h2rec_tf.training.schedule import WarmupSchedule
from h2rec_tf.training.state import Checkpoints, RunState, fingerprint

_LOG = logging.getLogger(__name__)

# Validation users that calibration looks at; each of the few values tried costs one evaluation of them.
_CALIBRATION_USERS = 5000


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained model and how it got there.

    Attributes:
        model: with the best epoch's variables; cold items have HID rows.
        best_epoch: 1-based.
        best_ndcg_at_10: validation NDCG@10 of the returned model, ranked as a server lists.
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
    seen: str = "exclude",
    strategy: str = "default",
    precision: str = "float32",
    seed: int = 0,
    codes: np.ndarray | None = None,
    directory: str | None = None,
    run_key: str = "",
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    progress: bool = False,
) -> TrainingResult:
    """Trains until validation NDCG@10 of the lists that will be served stops rising; returns the best epoch's model.

    The weight of the model's seen part, where seen items compete, and the place of cold items are then set on
    validation users (`calibrate`).

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
        seen: what will be served of seen items, "exclude" or "include"; validation ranks by it (`Protocol.seen`).
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
        raise nobody_to_train_on()
    if not len(validation):
        raise InputError("training: the validation split is empty; hold out more interactions")
    protocol = Protocol(seen)
    validation = validation.sample(validation_users, seed)
    distribution = strategy_named(strategy)
    steps = len(batches) * epochs if not max_steps else min(max_steps, len(batches) * epochs)
    building = moving("building the model") if progress else contextlib.nullcontext()
    with building, distribution.scope(), computing_in(precision):
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
        recommender = VectorRecommender(model, max_length=max_length, popularity=popularity)
        return evaluate(recommender, holdout, popularity=popularity, ks=(10,), protocol=protocol, recommendation_k=0)

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
        run += (seed, epochs, max_length, precision, seen, run_key)
        checkpoints = Checkpoints(
            f"{directory}/checkpoints",
            fingerprint=fingerprint(run, train_split, model),
            last={"model": model, "optimizer": optimizer},
            best={"model": model},
        )
    # Before restoring: drift is measured from the start values, whatever session of the run measures it.
    log = TensorBoardLog(f"{directory}/tensorboard" if directory else None, model)
    if checkpoints is not None:
        state = checkpoints.restore()
    best_weights: list[np.ndarray] = []
    training = Epochs(model, batches, distribution)
    sample = validation.histories.padded(np.arange(min(len(validation), 256)), max_length)
    with (
        tqdm(
            total=steps, initial=int(optimizer.iterations.numpy()), unit="step", disable=None if progress else True
        ) as bar,
        ticking(bar),
    ):
        while state.epoch < epochs and state.waited < patience:
            began = time.perf_counter()
            limit = max_steps - int(optimizer.iterations.numpy()) if max_steps else None
            if limit is not None and limit <= 0:
                break
            figures = training.run(state.epoch, limit, bar)
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
    part = validation.sample(_CALIBRATION_USERS, seed)
    with moving("placing cold items") if progress else contextlib.nullcontext():
        if calibrate(
            model,
            lambda: measure(part).metric("ndcg@10"),
            popularity=popularity,
            codes=codes,
            seen_competes=protocol.seen_compete,
        ):
            best = measure(validation).metric("ndcg@10")
    return TrainingResult(model, state.best_epoch, best, state.history, state.seconds)
