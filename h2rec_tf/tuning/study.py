"""The study that keeps a search in a file: opened by key, mended after a kill, counted over all sessions."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import InputError, MissingDependencyError
from h2rec_tf.tuning.report import PROGRESS
from h2rec_tf.tuning.space import SearchSpace

STUDY_FILE = "study.db"
_KILLED = "killed"
# Trials before the model-based search and before pruning, and the first epoch that a trial may be pruned at.
STARTUP_TRIALS = 5
_FIRST_PRUNED_EPOCH = 3


def load_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("`h2rec tune` needs Optuna; run: pip install 'h2rec-tf[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_study(optuna: Any, output: str, key: str) -> Any:
    """The study in a folder, made where there is none.

    Args:
        optuna: the module.
        output: folder of `study.db`.
        key: what the search is about, as `study_key` gives it.

    Raises:
        InputError: the folder cannot be made, or holds a study with another key.
    """
    folder = pathlib.Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {output}: cannot be made: {error.strerror}") from error
    study = optuna.create_study(
        study_name="h2rec",
        storage=f"sqlite:///{(folder / STUDY_FILE).resolve()}",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=_FIRST_PRUNED_EPOCH),
        load_if_exists=True,
    )
    if study.user_attrs.setdefault("key", key) != key:
        raise InputError(
            f"--output {output}: holds a search with another model, space, seed or data; name another folder"
        )
    study.set_user_attr("key", key)
    return study


def study_key(config: Config, space: SearchSpace, train: Sequences, validation: Holdout) -> str:
    """64 hex digits over what makes a search another one: what is tried, the space and the data."""
    digest = hashlib.sha256(json.dumps([config.to_dict(), space.to_dict()], sort_keys=True).encode())
    for array in (train.items, train.offsets, validation.histories.items, validation.targets):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def mend(optuna: Any, study: Any) -> None:
    """Puts trials of a killed session back in the queue, with their values."""
    states = optuna.trial.TrialState
    for trial in study.get_trials(states=(states.RUNNING,)):
        study.set_user_attr(_KILLED, [*study.user_attrs.get(_KILLED, []), trial.number])
        study.enqueue_trial(trial.params)
        study.tell(trial.number, state=states.FAIL)


def finished(study: Any) -> list[Any]:
    """Trials that came to an end by themselves."""
    killed = study.user_attrs.get(_KILLED, [])
    return [trial for trial in study.trials if trial.state.is_finished() and trial.number not in killed]


def spent(study: Any) -> float:
    """Seconds in trials, in all sessions."""
    return sum(trial.user_attrs.get(PROGRESS, {}).get("seconds", 0.0) for trial in study.trials)
