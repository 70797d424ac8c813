"""What a killed training run needs to go on: the last and the best checkpoint, and the run's own record."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from h2rec_tf.data.sequences import Sequences
from h2rec_tf.errors import InputError

_STATE_FILE = "state.json"


@dataclasses.dataclass
class RunState:
    """The record of a run.

    Attributes:
        epoch: epochs done.
        best_epoch: epoch (1-based) with the best validation NDCG@10; 0 before the first.
        best: its NDCG@10.
        waited: epochs since then.
        seconds: wall time of training and validation, in all sessions of the run.
        history: one dict of figures for each epoch done.
    """

    epoch: int = 0
    best_epoch: int = 0
    best: float = -1.0
    waited: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


class Checkpoints:
    """Two checkpoints in a directory: `last-*` to resume from, `best-*` to keep.

    The record is written last and renamed into place, and names the checkpoints it belongs to; a kill at any time
    leaves a record and checkpoints that agree.

    Args:
        directory: where they live, in any file system TensorFlow knows; created.
        fingerprint: what must be equal for a run to be resumed; another one starts afresh.
        last: objects whose variables resuming needs.
        best: objects whose variables are the result.
    """

    def __init__(self, directory: str, *, fingerprint: str, last: dict[str, Any], best: dict[str, Any]) -> None:
        self._directory = directory
        tf.io.gfile.makedirs(directory)
        self._fingerprint = fingerprint
        self._last = tf.train.Checkpoint(**last)
        self._best = tf.train.Checkpoint(**best)
        self._best_path = ""

    def restore(self) -> RunState:
        """The record of an earlier session with the same fingerprint, its variables restored; else a new record.

        Raises:
            InputError: the record or its checkpoint is damaged.
        """
        path = self._path(_STATE_FILE)
        if not tf.io.gfile.exists(path):
            return RunState()
        try:
            with tf.io.gfile.GFile(path) as file:
                record = json.loads(file.read())
            if record.pop("fingerprint") != self._fingerprint:
                return RunState()
            self._best_path = record.pop("best_checkpoint")
            self._last.read(self._path(record.pop("last_checkpoint"))).assert_consumed()
            # Not yet put anywhere, but read: at the end of the training it would be too late.
            best = tf.train.load_checkpoint(self._path(self._best_path))
            for name in best.get_variable_to_shape_map():
                best.get_tensor(name)
            return RunState(**record)
        # What damage looks like depends on where it is.
        except (tf.errors.OpError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            reason = str(getattr(error, "message", error)).splitlines() or [type(error).__name__]
            raise InputError(
                f"{self._directory}: the checkpoint of an interrupted training is damaged ({reason[0][:120]}); delete"
                " this directory and run again, training starts anew"
            ) from error

    def save(self, state: RunState) -> None:
        """Writes the last checkpoint, the best one if this epoch is the best, and the record."""
        last = os.path.basename(self._last.write(self._path(f"last-{state.epoch}")))
        if state.best_epoch == state.epoch:
            self._best_path = os.path.basename(self._best.write(self._path(f"best-{state.epoch}")))
        record = {
            **dataclasses.asdict(state),
            "fingerprint": self._fingerprint,
            "last_checkpoint": last,
            "best_checkpoint": self._best_path,
        }
        scratch = self._path(_STATE_FILE + ".new")
        with tf.io.gfile.GFile(scratch, "w") as file:
            file.write(json.dumps(record))
        tf.io.gfile.rename(scratch, self._path(_STATE_FILE), overwrite=True)
        for path in [*tf.io.gfile.glob(self._path("last-*")), *tf.io.gfile.glob(self._path("best-*"))]:
            if os.path.basename(path).split(".")[0] not in (last, self._best_path):
                tf.io.gfile.remove(path)

    def restore_best(self) -> None:
        """Puts the best epoch's variables into the objects."""
        self._best.read(self._path(self._best_path)).expect_partial()

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)


def fingerprint(run: tuple[Any, ...], split: Sequences, model: tf.Module) -> str:
    """64 hex digits over a run's settings, what it learns from, and the variables it starts with.

    Args:
        run: settings, ready for JSON.
        split: the training split.
        model: before the first step.
    """
    digest = hashlib.sha256(json.dumps(run).encode())
    digest.update(np.ascontiguousarray(split.items).tobytes())
    digest.update(split.offsets.tobytes())
    for variable in model.variables:
        digest.update(f"{variable.name}{variable.shape}".encode())
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
