"""Counts of two public data sets."""

import os
import pathlib

import numpy as np
import pytest

from h2rec_tf.config import DataConfig
from h2rec_tf.data.load import load_dataset

ROOT = pathlib.Path(os.environ.get("H2REC_DATA", "../shared/data"))


def folder(name: str) -> pathlib.Path:
    if not (ROOT / name).is_dir():
        pytest.skip(f"no data set at {ROOT / name}; set H2REC_DATA to its parent folder")
    return ROOT / name


def test_beauty():
    path = folder("beauty")
    dataset, report = load_dataset(
        str(path / "interactions.csv.gz"),
        str(path / "items.jsonl"),
        embeddings_path=str(path / "text_embeddings.npz"),
        config=DataConfig(),
    )
    assert (report.known.users, report.known.items, report.known.interactions) == (22_363, 12_101, 198_502)
    assert (report.problems.total, report.repeats, report.items_without_title) == (0, 0, 7)
    assert round(report.top_share, 2) == 0.58
    assert len(dataset.test) == len(dataset.validation) == 22_363
    assert len(dataset.train.items) == 198_502 - 2 * 22_363
    assert dataset.catalogue.vectors.shape == (12_101, 384)
    # The k-core of five leaves a data set alone that is one.
    _, core = load_dataset(
        str(path / "interactions.csv.gz"),
        str(path / "items.jsonl"),
        config=DataConfig(min_user_interactions=5, min_item_interactions=5),
    )
    assert core.core == core.known


@pytest.mark.parametrize("split", ["leave_one_out", "temporal"])
def test_ml_latest_small(split):
    path = folder("ml-latest-small")
    dataset, report = load_dataset(
        str(path / "ratings.csv.gz"),
        str(path / "movies.csv"),
        config=DataConfig(user_column="userId", item_column="movieId", split=split),
    )
    assert (report.known.users, report.known.items, report.known.interactions) == (610, 9_724, 100_836)
    assert (report.catalogue_items, report.items_never_taken) == (9_742, 18)
    toy_story = dataset.catalogue.index()["1"] - 1
    assert dataset.catalogue.titles[toy_story] == "Toy Story (1995)"
    assert dataset.catalogue.texts[toy_story] == "Toy Story (1995) Adventure Animation Children Comedy Fantasy"
    if split == "temporal":
        assert 10_083 <= len(dataset.test) < 10_200
        assert np.max(dataset.train.timestamps) < np.min(
            dataset.validation.histories.timestamps[dataset.validation.histories.offsets[1:][-1:] - 1]
        )
    else:
        assert len(dataset.test) == 610
