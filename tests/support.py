"""Small factories that tests of several areas share: data, configurations, models, processes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Catalogue, Dataset, Holdout, Sequences

NUM_ITEMS = 40
LEVELS = 3
CODES = 4
DIMENSIONS = 8
MAX_LENGTH = 8

_TINY = {
    "model.hidden_size": DIMENSIONS,
    "model.max_length": MAX_LENGTH,
    "model.layers": 1,
    "model.dropout": 0.0,
    "quantizer.levels": LEVELS,
    "quantizer.codes": CODES,
    "quantizer.iterations": 5,
    "loss.next_item": "full_softmax",
    "loss.negatives": 16,
    "loss.cooccurrence_positives": 5,
    "training.batch_size": 16,
    "training.epochs": 2,
    "training.min_epoch_steps": 0,
}


def tiny_config(**changes: Any) -> Config:
    """A configuration that trains in seconds, with dotted keys changed."""
    return Config().replace(**{**_TINY, **changes})


def item_parts(num_items: int = NUM_ITEMS, seed: int = 0) -> dict[str, np.ndarray]:
    """`codes` `[N, L]`, `codebooks` `[L, K, 6]` and `vectors` `[N, 6]` at random, as `build_model` takes them."""
    generator = np.random.default_rng(seed)
    return {
        "codes": generator.integers(0, CODES, (num_items, LEVELS)).astype(np.int32),
        "codebooks": generator.normal(size=(LEVELS, CODES, 6)).astype(np.float32),
        "vectors": generator.normal(size=(num_items, 6)).astype(np.float32),
    }


def random_sequences(users: int = 60, num_items: int = NUM_ITEMS, *, longest: int = 12, seed: int = 0) -> Sequences:
    """Histories of 1..longest items in which item i is often followed by i + 1, so that there is something to learn."""
    generator = np.random.default_rng(seed)
    histories = []
    for length in generator.integers(1, longest + 1, users):
        steps = np.where(generator.random(length) < 0.8, 1, generator.integers(2, num_items, length))
        histories.append(((generator.integers(num_items) + np.cumsum(steps)) % num_items + 1).tolist())
    return Sequences.from_lists(histories)


def holdout_of(sequences: Sequences) -> Holdout:
    """The last item of every history of two or more is the target."""
    rows = [sequences.history(row).tolist() for row in range(len(sequences)) if sequences.lengths[row] > 1]
    targets = np.asarray([row[-1] for row in rows], np.int32)
    return Holdout(Sequences.from_lists([row[:-1] for row in rows]), targets)


def tiny_dataset(users: int = 60, num_items: int = NUM_ITEMS, seed: int = 0) -> Dataset:
    """A catalogue with vectors, and splits; item ids are `item-00`, ..."""
    parts = item_parts(num_items, seed)
    catalogue = Catalogue(
        item_ids=np.asarray([f"item-{row:02d}" for row in range(num_items)], dtype=object),
        titles=np.asarray([f"Title {row}" for row in range(num_items)], dtype=object),
        texts=np.asarray([f"text of {row}" for row in range(num_items)], dtype=object),
        vectors=parts["vectors"],
    )
    validation = holdout_of(random_sequences(users, num_items, seed=seed + 1))
    test = holdout_of(random_sequences(users, num_items, seed=seed + 2))
    return Dataset(catalogue, random_sequences(users, num_items, seed=seed), validation, test)


def tiny_model(*, train: Sequences | None = None, parts: dict[str, np.ndarray] | None = None, **changes: Any) -> Any:
    """An untrained `H2Rec` built by the library's own builder from `tiny_config(**changes)`."""
    from h2rec_tf.models.build import build_model

    config = tiny_config(**changes)
    return build_model(
        model=config.model,
        loss=config.loss,
        train=random_sequences() if train is None else train,
        seed=config.training.seed,
        **(item_parts() if parts is None else parts),
    )


def left_padded(rows: list[list[int]], length: int) -> np.ndarray:
    """int32 `[len(rows), length]`, zeros before each row's items."""
    result = np.zeros((len(rows), length), np.int32)
    for row, items in enumerate(rows):
        if items:
            result[row, length - len(items) :] = items
    return result


def run_python(code: str, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter that can import the packages and these helpers."""
    paths = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
    )
    if check and result.returncode:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result
