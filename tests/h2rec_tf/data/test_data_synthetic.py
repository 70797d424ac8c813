"""The synthetic data has the structure that it promises, and nothing else gives it away."""

import itertools
import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from h2rec_tf.config import DataConfig
from h2rec_tf.data.load import load_dataset
from h2rec_tf.data.synthetic import planted_dataset, write_synthetic
from h2rec_tf.data.synthetic_words import TOPICS
from h2rec_tf.data.synthetic_world import SyntheticWorld
from h2rec_tf.errors import InputError


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_synthetic(str(tmp_path_factory.mktemp("shop")), items=1000, users=2000, seed=5)


def test_the_same_seed_gives_the_same_bytes(shop, tmp_path):
    again = write_synthetic(str(tmp_path), items=1000, users=2000, seed=5)
    other = write_synthetic(str(tmp_path / "other"), items=1000, users=2000, seed=6)
    for first, second, third in zip(shop, again, other, strict=True):
        assert pathlib.Path(first).read_bytes() == pathlib.Path(second).read_bytes()
        assert pathlib.Path(first).read_bytes() != pathlib.Path(third).read_bytes()


def test_files(shop):
    dataset, report = load_dataset(str(shop[0]), str(shop[1]), config=DataConfig())
    assert report.problems.total == 0
    assert report.known.users == 2000
    assert report.catalogue_items == 1000
    assert report.items_without_text == 0
    assert report.history_quantiles[0.0] == 5
    assert report.history_quantiles[1.0] <= 40
    assert 8 < report.mean_history < 11
    assert 0.45 < report.top_share < 0.75
    popularity = np.sort(dataset.popularity[1:])[::-1]
    # A straight line in logarithms, as Zipf's law has it.
    slope, *_ = stats.linregress(np.log(np.arange(10, 300)), np.log(popularity[10:300] + 1.0))
    assert -1.2 < slope < -0.3


def test_titles_have_words_of_their_sub_topic(shop):
    rows = [json.loads(line) for line in shop[1].read_text().splitlines()]
    for row in rows:
        words = set(row["title"].lower().split())
        assert any(len(words & set(leaf.split())) >= 2 for leaf in TOPICS[row["category"]].values())
    assert len({row["item_id"] for row in rows}) == 1000


def test_order_of_ids_and_rows_carries_nothing(shop):
    dataset, _ = load_dataset(str(shop[0]), str(shop[1]), config=DataConfig())
    popularity = dataset.popularity[1:]
    ids = dataset.catalogue.item_ids.tolist()
    by_id = np.argsort(np.argsort(ids))
    in_file = [json.loads(line)["item_id"] for line in shop[1].read_text().splitlines()]
    by_file = [in_file.index(item_id) for item_id in ids]
    for order in (np.arange(1000), by_id, by_file):
        assert abs(stats.spearmanr(order, popularity)[0]) < 0.1


def test_planted_structure():
    """Followers after head items, the next topic after tail items, and vectors that show topics alone."""
    dataset = planted_dataset(items=300, users=2000, seed=2, topics=30)
    train, vectors = dataset.train, dataset.catalogue.vectors
    assert vectors.shape == (300, 32)
    topics = np.asarray([int(title.split()[1]) for title in dataset.catalogue.titles])
    similar = vectors @ vectors.T
    same_topic = topics[:, None] == topics[None, :]
    assert similar[same_topic].mean() > 0.9
    assert abs(similar[~same_topic].mean()) < 0.1
    inside = np.ones(len(train.items), bool)
    inside[train.offsets[1:] - 1] = False
    last, following = train.items[:-1][inside[:-1]] - 1, train.items[1:][inside[:-1]] - 1
    head = np.argsort(-dataset.popularity[1:])[:60]
    after_head = np.isin(last, head)
    pairs = np.zeros((300, 300))
    np.add.at(pairs, (last, following), 1)
    top_three = np.sort(pairs[head], axis=1)[:, -3:].sum() / pairs[head].sum()
    assert top_three > 0.6
    moves = np.zeros((30, 30))
    np.add.at(moves, (topics[last[~after_head]], topics[following[~after_head]]), 1)
    assert moves.max(axis=1).sum() / moves.sum() > 0.6
    tail_pairs = np.delete(pairs, head, axis=0)
    assert np.median(tail_pairs.sum(axis=1)) < 30
    assert len(dataset.test) == 2000


def test_times_of_generated_files_run_in_the_planted_direction(tmp_path, monkeypatch):
    """Sequences by time are those that were planted, and followers come after, not before."""
    planted = []
    histories = SyntheticWorld.histories

    def recorded(world, *args, **kwargs):
        taken = histories(world, *args, **kwargs)
        planted.append((world, taken))
        return taken

    monkeypatch.setattr(SyntheticWorld, "histories", recorded)
    shop = write_synthetic(str(tmp_path), items=400, users=500, seed=7)
    world, taken = planted[0]
    # Lines of the items file are in order of the world's numbers.
    number = {json.loads(line)["item_id"]: place for place, line in enumerate(shop[1].read_text().splitlines())}
    rows = pd.read_csv(shop[0]).sort_values(["user_id", "timestamp"])
    assert not rows.duplicated(["user_id", "timestamp"]).any()
    sequences = [[number[item] for item in items] for _, items in rows.groupby("user_id")["item_id"]]
    assert sorted(sequences) == sorted(row[row >= 0].tolist() for row in taken)

    def followed(pairs):
        """Share of pairs from a head item that lead to one of its followers."""
        return np.mean([second in world.followers[first] for first, second in pairs if world.head[first]])

    pairs = [pair for sequence in sequences for pair in itertools.pairwise(sequence)]
    assert followed(pairs) > 0.7
    assert followed([pair[::-1] for pair in pairs]) < 0.2
    # The loader has the order of the files.
    dataset, report = load_dataset(str(shop[0]), str(shop[1]), config=DataConfig())
    ids = dataset.catalogue.item_ids
    last = rows.groupby("user_id")["item_id"].last()
    assert ids[dataset.test.targets - 1].tolist() == last[dataset.test.histories.user_ids].tolist()
    assert not report.warnings


def test_sizes_are_checked(tmp_path):
    with pytest.raises(InputError, match="items must be at least the number of topics, 50, got 20"):
        write_synthetic(str(tmp_path), items=20)
    with pytest.raises(InputError, match="users must be at least 1"):
        planted_dataset(users=0)
    with pytest.raises(InputError, match="min_length must be at least 3"):
        planted_dataset(min_length=2)
    assert not list(tmp_path.iterdir())
