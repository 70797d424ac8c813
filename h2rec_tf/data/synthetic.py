"""Synthetic data: files for a first run, and a planted data set in memory for tests of the model's claim."""

from __future__ import annotations

import gzip
import json
import pathlib

import numpy as np

from h2rec_tf.atomic import write_atomically
from h2rec_tf.data.dataset import build_dataset
from h2rec_tf.data.decimals import BILLION
from h2rec_tf.data.interactions import Interactions
from h2rec_tf.data.sequences import Catalogue, Dataset, catalogue_order
from h2rec_tf.data.synthetic_words import KINDS, MAKERS, QUALITIES, TOPICS
from h2rec_tf.data.synthetic_world import SyntheticWorld
from h2rec_tf.errors import InputError
from h2rec_tf.names import ITEM_ID, TITLE, USER_ID

_LETTERS = np.asarray(list("ABCDEFGHJKLMNPQRSTUVWXYZ23456789"))
_ID_LETTERS = 7
# Users begin somewhere in the first year, 2023, and come back after some hours or days.
_FIRST_SECOND = 1_672_531_200
_YEAR_SECONDS = 31_536_000
_MEAN_GAP_SECONDS = 200_000
# About as many items share sub-topic and maker, as long as there are makers.
_ITEMS_PER_LINE = 10


def write_synthetic(
    directory: str, *, items: int = 3000, users: int = 6000, seed: int = 0
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes `interactions.csv.gz` and `items.jsonl`; the same arguments give the same bytes.

    Items have Zipf popularity, a topic, a sub-topic and a maker; titles are made of their words. Histories have 5 to 40
    items. After a popular item mostly one of its three followers comes next; after another one mostly an item by the
    same maker from the same sub-topic or the following one, so that its title tells what comes next even where it was
    hardly ever seen. Neither ids nor the order of rows carry anything.

    Args:
        directory: made if absent.
        items: at least as many as there are sub-topics (50).
        users: at least 1.
        seed: of all random choices.

    Returns:
        Paths of the two files.

    Raises:
        InputError: too few items or users, or the directory cannot be written.
    """
    leaves = [(topic, leaf) for topic, parts in TOPICS.items() for leaf in parts]
    _check_sizes(items, users, len(leaves))
    generator = np.random.default_rng(seed)
    makers = MAKERS.split()
    makers = makers[: max(min(items // (len(leaves) * _ITEMS_PER_LINE), len(makers)), 1)]
    # One topic of the world is one maker's line in one sub-topic; each maker's lines follow one another in a circle.
    lines = [(*leaf, maker) for leaf in leaves for maker in makers]
    next_lines = (_circle(generator, len(leaves))[:, None] * len(makers) + np.arange(len(makers))).ravel()
    world = SyntheticWorld.make(generator, items=items, next_topics=next_lines, zipf=0.8, head_fraction=0.2)
    lengths = np.minimum(4 + generator.geometric(0.18, users), 40)
    taken = world.histories(generator, lengths, identity=0.75, topical=0.9, same_topic=0.5, tail=0.7)
    item_ids = _item_ids(generator, items)
    gaps = np.ceil(generator.exponential(_MEAN_GAP_SECONDS, taken.shape)).astype(np.int64)
    times = _FIRST_SECOND + generator.integers(_YEAR_SECONDS, size=(users, 1)) + np.cumsum(gaps, axis=1)
    user_rows, steps = np.nonzero(taken >= 0)
    user_ids = [f"u{number:06d}" for number in generator.permutation(users)]
    rows = [f"{USER_ID},{ITEM_ID},timestamp\n"]
    for row in generator.permutation(len(user_rows)).tolist():
        user, step = user_rows[row], steps[row]
        rows.append(f"{user_ids[user]},{item_ids[taken[user, step]]},{times[user, step]}\n")
    of_item = [lines[line] for line in world.topics.tolist()]
    titles = _titles(generator, of_item)
    item_rows = [
        json.dumps({ITEM_ID: item_id, TITLE: title, "category": topic}) + "\n"
        for item_id, title, (topic, _, _) in zip(item_ids, titles, of_item, strict=True)
    ]
    root = pathlib.Path(directory)
    interactions_path, items_path = root / "interactions.csv.gz", root / "items.jsonl"
    write_atomically(items_path, "".join(item_rows).encode("utf-8"))
    write_atomically(interactions_path, gzip.compress("".join(rows).encode("utf-8"), mtime=0))
    return interactions_path, items_path


def planted_dataset(
    *,
    items: int = 600,
    users: int = 3000,
    seed: int = 0,
    topics: int = 60,
    vector_size: int = 32,
    vector_noise: float = 0.3,
    zipf: float = 0.8,
    head_fraction: float = 0.2,
    identity: float = 0.8,
    topical: float = 0.9,
    tail: float = 0.7,
    min_length: int = 5,
    mean_length: float = 10.0,
) -> Dataset:
    """A data set that only both kinds of ID can predict well.

    After a head item, followers of that very item come next: items of one topic look alike in `catalogue.vectors`, so
    these have to be memorised. After a tail item, an item of the next topic comes: tail items are too rare to memorise,
    but their vectors show the topic.

    Args:
        items: N.
        users: U.
        seed: of all random choices.
        topics: number of topics.
        vector_size: D.
        vector_noise: length of the noise relative to the topic's vector, which has length 1.
        zipf: exponent of the popularity law.
        head_fraction: share of items that are head.
        identity: probability that a follower comes after a head item.
        topical: probability that otherwise the next topic comes, not a random favourite of the user.
        tail: probability that of a topic a tail item comes.
        min_length: shortest history, at least 3.
        mean_length: of histories, above `min_length`.

    Returns:
        Split leave-one-out; `timestamps` are positions as seconds.

    Raises:
        InputError: sizes that do not go together.
    """
    _check_sizes(items, users, topics)
    if not 3 <= min_length < mean_length:
        raise InputError(f"min_length must be at least 3 and below mean_length, got {min_length} and {mean_length}")
    generator = np.random.default_rng(seed)
    world = SyntheticWorld.make(
        generator, items=items, next_topics=_circle(generator, topics), zipf=zipf, head_fraction=head_fraction
    )
    lengths = min_length - 1 + generator.geometric(1.0 / (mean_length - min_length + 1.0), users)
    taken = world.histories(
        generator, np.minimum(lengths, items // 2), identity=identity, topical=topical, same_topic=0.0, tail=tail
    )
    centres = generator.normal(size=(topics, vector_size))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    noise = generator.normal(size=(items, vector_size)) * (vector_noise / np.sqrt(vector_size))
    vectors = (centres[world.topics] + noise).astype(np.float32)
    item_ids = [f"item-{number:05d}" for number in range(items)]
    order = catalogue_order(item_ids)
    ids = np.asarray(item_ids, object)[order]
    titles = np.asarray(
        [f"topic {topic} {item_id}" for topic, item_id in zip(world.topics[order], ids, strict=True)], object
    )
    catalogue = Catalogue(ids, titles, titles, vectors[order])
    user_rows, steps = np.nonzero(taken >= 0)
    interactions = Interactions(
        users=user_rows.astype(np.int32),
        items=taken[user_rows, steps].astype(np.int32),
        timestamps=steps.astype(np.int64) * BILLION,
        user_ids=np.asarray([f"user-{number:05d}" for number in range(users)], object),
        item_ids=np.asarray(item_ids, object),
    )
    return build_dataset(interactions, catalogue)


def _check_sizes(items: int, users: int, topics: int) -> None:
    if items < topics:
        raise InputError(f"items must be at least the number of topics, {topics}, got {items}")
    if users < 1:
        raise InputError(f"users must be at least 1, got {users}")


def _circle(generator: np.random.Generator, size: int) -> np.ndarray:
    """int64 `[size]`, what follows each number on one random circle through all."""
    circle = generator.permutation(size)
    following = np.empty(size, np.int64)
    following[circle] = np.roll(circle, 1)
    return following


def _item_ids(generator: np.random.Generator, items: int) -> list[str]:
    """Distinct random ids."""
    ids: dict[str, None] = {}
    while len(ids) < items:
        drawn = _LETTERS[generator.integers(len(_LETTERS), size=(items - len(ids), _ID_LETTERS))]
        ids.update(dict.fromkeys("P" + "".join(letters) for letters in drawn.tolist()))
    return list(ids)


def _titles(generator: np.random.Generator, lines: list[tuple[str, str, str]]) -> list[str]:
    """A maker, a quality, two words of the sub-topic, one of topic and sub-topic, and sometimes a kind."""
    qualities, kinds = QUALITIES.split(), KINDS.split()
    titles = []
    for topic, leaf, maker in lines:
        first, second = generator.choice(TOPICS[topic][leaf].split(), 2, replace=False)
        words = [generator.choice(qualities), first, second, generator.choice([topic, leaf])]
        if generator.random() < 0.5:
            words.append(generator.choice(kinds))
        titles.append(f"{maker} {' '.join(words).title()}")
    return titles
