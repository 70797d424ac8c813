"""Trains RecTools' SASRec; run by train.py with the Python of the peer's own venv.

    python peer_rectools.py TRAIN.npz EPOCHS OPTIONS_JSON

Prints the sequences per second of each epoch as JSON in its last line.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


class Clock(Callback):
    """Seconds of each epoch's steps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.seconds.append(time.perf_counter() - self._began)


def main() -> None:
    """Reads the training split, trains, prints."""
    path, epochs, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    with np.load(path) as arrays:
        interactions = pd.DataFrame(
            {
                Columns.User: arrays["users"],
                Columns.Item: arrays["items"],
                Columns.Weight: 1,
                Columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(arrays["steps"], unit="D"),
            }
        )

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[Clock()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = SASRecModel(
        n_factors=options["hidden_size"],
        n_blocks=options["layers"],
        n_heads=options["heads"],
        dropout_rate=options["dropout"],
        session_max_len=options["max_length"],
        batch_size=options["batch_size"],
        loss="softmax",
        epochs=epochs,
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(interactions))
    sequences = int((interactions.groupby(Columns.User).size() > 1).sum())
    # The model trains with a copy of the trainer that it was given.
    (clock,) = [callback for callback in model.fit_trainer.callbacks if isinstance(callback, Clock)]
    print(json.dumps([sequences / seconds for seconds in clock.seconds]))


if __name__ == "__main__":
    main()
