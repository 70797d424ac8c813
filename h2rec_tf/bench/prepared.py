"""Split data and semantic IDs on disk, so that each run's own process reads them in a moment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from h2rec_tf.atomic import atomic_directory
from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Catalogue, Dataset, Holdout, Sequences
from h2rec_tf.semantic_ids import SemanticIds, build_semantic_ids

_SPLITS_FILE = "splits.npz"
_SEQUENCE_PARTS = ("items", "offsets", "timestamps")


@dataclasses.dataclass(frozen=True)
class Splits:
    """A split data set without its texts.

    Attributes:
        train: training histories.
        validation: for early stopping and every choice.
        test: read once a reported run.
        num_items: N.
    """

    train: Sequences
    validation: Holdout
    test: Holdout
    num_items: int

    @property
    def popularity(self) -> np.ndarray:
        """int64 `[N + 1]`, training interactions of each item index."""
        return np.bincount(self.train.items, minlength=self.num_items + 1)

    def save(self, directory: str) -> None:
        """Writes the arrays, whole or not at all."""
        arrays = {"num_items": np.asarray(self.num_items)}
        for name, sequences in self._sequences().items():
            for part in _SEQUENCE_PARTS:
                if getattr(sequences, part) is not None:
                    arrays[f"{name}/{part}"] = getattr(sequences, part)
        arrays |= {"validation/targets": self.validation.targets, "test/targets": self.test.targets}
        with atomic_directory(directory, marker=_SPLITS_FILE) as path:
            np.savez(path / _SPLITS_FILE, **arrays)

    @classmethod
    def load(cls, directory: str) -> Splits:
        """Reads what `save` wrote; user ids are row numbers."""
        with np.load(pathlib.Path(directory) / _SPLITS_FILE) as file:
            arrays = dict(file)

        def sequences(name: str) -> Sequences:
            parts: dict[str, Any] = {part: arrays.get(f"{name}/{part}") for part in _SEQUENCE_PARTS}
            return Sequences(user_ids=np.arange(len(parts["offsets"]) - 1).astype(str), **parts)

        return cls(
            sequences("train"),
            Holdout(sequences("validation"), arrays["validation/targets"]),
            Holdout(sequences("test"), arrays["test/targets"]),
            int(arrays["num_items"]),
        )

    def _sequences(self) -> dict[str, Sequences]:
        return {"train": self.train, "validation": self.validation.histories, "test": self.test.histories}


class PreparedData:
    """A data set with a folder for what is derived from it.

    Args:
        dataset: the split data.
        cache_dir: splits and semantic IDs are kept there by hash.
    """

    def __init__(self, dataset: Dataset, cache_dir: str) -> None:
        self.dataset = dataset
        self.hash = data_hash(dataset)
        self._cache_dir = pathlib.Path(cache_dir)

    @property
    def catalogue(self) -> Catalogue:
        """All items."""
        return self.dataset.catalogue

    def splits(self) -> str:
        """Directory of the `Splits`, written on first use."""
        directory = self._cache_dir / f"splits-{self.hash}"
        if not (directory / _SPLITS_FILE).is_file():
            dataset = self.dataset
            Splits(dataset.train, dataset.validation, dataset.test, len(dataset.catalogue)).save(str(directory))
        return str(directory)

    def semantic_ids(self, config: Config, *, seed: int, progress: bool = False) -> str:
        """Directory of the `SemanticIds` for a configuration's `text` and `quantizer`, built on first use.

        Raises:
            InputError: as `build_semantic_ids`.
        """
        values = config.to_dict()
        key = hashlib.sha256(json.dumps([values["text"], values["quantizer"], seed, self.hash]).encode()).hexdigest()
        directory = self._cache_dir / f"semantic-ids-{key[:16]}"
        if not directory.is_dir():
            build_semantic_ids(
                self.catalogue, text=config.text, quantizer=config.quantizer, seed=seed, progress=progress
            ).save(str(directory))
        return str(directory)

    def load_semantic_ids(self, config: Config, *, seed: int) -> SemanticIds:
        """What `semantic_ids` names, read."""
        return SemanticIds.load(self.semantic_ids(config, seed=seed))


def data_hash(dataset: Dataset) -> str:
    """16 hex digits over the catalogue and all splits; user ids do not matter."""
    digest = hashlib.sha256()
    catalogue = dataset.catalogue
    for strings in (catalogue.item_ids, catalogue.titles, catalogue.texts):
        digest.update(json.dumps(strings.tolist()).encode())
    if catalogue.vectors is not None:
        digest.update(np.ascontiguousarray(catalogue.vectors).tobytes())
    for sequences in (dataset.train, dataset.validation.histories, dataset.test.histories):
        for part in _SEQUENCE_PARTS:
            array = getattr(sequences, part)
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    for holdout in (dataset.validation, dataset.test):
        digest.update(np.ascontiguousarray(holdout.targets).tobytes())
    return digest.hexdigest()[:16]
