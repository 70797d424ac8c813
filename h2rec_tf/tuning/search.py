"""The search: Optuna's TPE with median pruning, each trial a training."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras as keras

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import H2RecError, InputError
from h2rec_tf.evaluation import Protocol, evaluate
from h2rec_tf.models.floors import make_floor
from h2rec_tf.training.configured import train_configured
from h2rec_tf.tuning.report import PROGRESS, shown, write_report
from h2rec_tf.tuning.space import SearchSpace
from h2rec_tf.tuning.study import STARTUP_TRIALS, finished, load_optuna, mend, open_study, spent, study_key


@dataclasses.dataclass(frozen=True)
class TuningResult:
    """What a search found.

    Attributes:
        config: the best configuration.
        values: its searched values by dotted key.
        ndcg_at_10: its NDCG@10 on validation.
        trials: finished ones, pruned and failed included.
        seconds: spent in trials, in all sessions of the search.
    """

    config: Config
    values: dict[str, Any]
    ndcg_at_10: float
    trials: int
    seconds: float


def tune(
    config: Config,
    space: SearchSpace,
    *,
    train: Sequences,
    validation: Holdout,
    semantic_ids: Callable[[Config], Any],
    output: str,
    trials: int,
    minutes: float = 0.0,
    trial_epochs: int = 0,
    seed: int = 0,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> TuningResult:
    """Searches for the configuration with the highest NDCG@10 on validation.

    The first trial is `config` itself where it lies in the space. A trial that falls behind the median of the earlier
    ones at the same epoch is pruned. A search that was killed goes on when it is called again with the same arguments:
    the trial that was running is run again with its values, and without a limit of minutes the result is that of a
    search that was not killed. The test split plays no part.

    Args:
        config: the model, or a floor.
        space: keys and values to try.
        train: what is learned from.
        validation: what early stopping and the search look at.
        semantic_ids: gives the `SemanticIds` for a configuration's `text` and `quantizer`.
        output: folder of the study, `best.yaml`, `trials.csv` and `trials.md`, written after each trial.
        trials: at most so many, in all sessions.
        minutes: at most so much time in trials, in all sessions; a running trial ends with its epoch and counts with
            what it reached. 0 sets no limit.
        trial_epochs: epochs of a trial, with the learning rate's schedule over so many; what is found keeps the epochs
            of `config`. 0 leaves them to `config` and the space.
        seed: of the search and of each training.
        progress: shows a bar a trial on stderr.
        say: takes a line a trial.

    Raises:
        MissingDependencyError: Optuna is not installed.
        InputError: `output` holds another search, the budget is below one trial, or `trial_epochs` is negative or
            set beside a space that searches `training.epochs`.
        H2RecError: no trial came to an end.
    """
    optuna = load_optuna()
    if trials < 1 or minutes < 0:
        raise InputError(f"the budget must be at least 1 trial and 0 minutes, got {trials} and {minutes}")
    if trial_epochs < 0:
        raise InputError(f"the epochs of a trial must be at least 0, got {trial_epochs}")
    if trial_epochs and any(dimension.key == "training.epochs" for dimension in space.dimensions):
        raise InputError("the space searches training.epochs: remove it there, or give no epochs of a trial")
    config = config.replace(**{"training.seed": seed})
    tried = config.replace(**{"training.epochs": trial_epochs}) if trial_epochs else config
    study = open_study(optuna, output, study_key(tried, space, train, validation))
    search = _Search(tried, space, train, validation, semantic_ids, minutes * 60 or float("inf"), progress)
    mend(optuna, study)
    start = space.start(config)
    if not study.trials and start is not None:
        study.enqueue_trial(start)
    while len(finished(study)) < trials and spent(study) < search.limit:
        # From the number of finished trials, so that a search that was killed goes on as if it had not been.
        study.sampler = optuna.samplers.TPESampler(
            seed=seed * 1_000_003 + len(finished(study)), n_startup_trials=STARTUP_TRIALS
        )
        trial = study.ask()
        search.run(optuna, study, trial)
        done = study.trials[trial.number]
        say(_line(done, len(finished(study)), trials))
        write_report(output, config, space, finished(study))
    complete = [trial for trial in finished(study) if trial.state.name == "COMPLETE"]
    if not complete:
        reasons = [trial.user_attrs.get("error", "") for trial in finished(study)]
        raise H2RecError(f"no trial of {len(reasons)} came to an end: {reasons[-1] if reasons else 'no time was left'}")
    best = max(complete, key=lambda trial: trial.value)
    return TuningResult(
        config.replace(**best.params), best.params, best.value, len(finished(study)), round(spent(study), 1)
    )


@dataclasses.dataclass
class _Search:
    """What the trials of a search share."""

    config: Config
    space: SearchSpace
    train: Sequences
    validation: Holdout
    semantic_ids: Callable[[Config], Any]
    limit: float
    progress: bool

    def run(self, optuna: Any, study: Any, trial: Any) -> None:
        """Runs one trial to its end and tells the study."""
        states = optuna.trial.TrialState
        began, before, best, best_epoch = time.perf_counter(), spent(study), -1.0, 0
        values = {dimension.key: dimension.suggest(trial) for dimension in self.space.dimensions}

        def on_epoch(epoch: int, figures: dict[str, float]) -> None:
            nonlocal best, best_epoch
            seconds = time.perf_counter() - began
            if figures["ndcg@10"] > best:
                best, best_epoch = figures["ndcg@10"], epoch
            # Kept at each epoch: a kill must not give its time back.
            trial.set_user_attr(PROGRESS, {"seconds": seconds, "epochs": epoch, "best_epoch": best_epoch})
            trial.report(figures["ndcg@10"], epoch)
            if trial.should_prune():
                raise _Pruned
            if before + seconds >= self.limit:
                raise _OutOfTime

        state = states.COMPLETE
        try:
            best = max(best, self._value(self.config.replace(**values), on_epoch))
        except _Pruned:
            state = states.PRUNED
        except _OutOfTime:
            pass
        except H2RecError as error:
            state = states.FAIL
            trial.set_user_attr("error", " ".join(str(error).split()))
        progress = study.trials[trial.number].user_attrs.get(PROGRESS, {})
        trial.set_user_attr(PROGRESS, progress | {"seconds": time.perf_counter() - began})
        # A pruned trial's value is its last report.
        study.tell(trial, best if state == states.COMPLETE else None, state=state)

    def _value(self, config: Config, on_epoch: Callable[[int, dict[str, float]], None]) -> float:
        """NDCG@10 on validation."""
        semantic_ids = self.semantic_ids(config)
        if config.floor.kind != "none":
            result = evaluate(
                make_floor(config.floor, train=self.train, vectors=semantic_ids.vectors),
                self.validation,
                popularity=np.bincount(self.train.items, minlength=len(semantic_ids) + 1),
                ks=(10,),
                protocol=Protocol(config.serving.seen),
                recommendation_k=0,
                progress=self.progress,
            )
            return result.metric("ndcg@10")
        try:
            return train_configured(
                config, semantic_ids, self.train, self.validation, on_epoch=on_epoch, progress=self.progress
            ).best_ndcg_at_10
        finally:
            # Graphs of earlier trials would pile up.
            keras.backend.clear_session()
            gc.collect()


class _Pruned(Exception):
    """The trial falls behind the others."""


class _OutOfTime(Exception):
    """The search's minutes are used up."""


def _line(trial: Any, number: int, trials: int) -> str:
    value = "failed" if trial.value is None else f"ndcg@10 {trial.value:.4f}"
    values = ", ".join(f"{key} {shown(value)}" for key, value in trial.params.items())
    state, seconds = trial.state.name.lower(), trial.user_attrs[PROGRESS]["seconds"]
    return f"trial {number} of {trials}: {state}, {value}, {seconds:.0f} s; {values}"
