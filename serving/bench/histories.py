"""Requests to load a server with, from items that its model itself names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from h2rec_tf.errors import InputError
from serving.client import Client
from serving.client.operations import Model
from serving.client.queries import Queries

_ENOUGH = 500
_ROUNDS = 20


def known_items(client: Client, k: int, seed: int) -> list[str]:
    """Ids of the catalogue: what a new user is recommended, then what is recommended for those, and so on.

    Raises:
        InputError: the model recommends nothing.
    """
    generator = np.random.default_rng(seed)
    found = dict.fromkeys(item.item_id for item in client.recommend([[]], k)[0])
    if not found:
        raise InputError("the model recommends nothing to a new user; give item ids with --item-ids")
    for _ in range(_ROUNDS):
        if len(found) >= _ENOUGH:
            break
        histories = [[str(item)] for item in generator.choice(list(found), 8)]
        found.update(dict.fromkeys(item.item_id for row in client.recommend(histories, k) for item in row))
    return list(found)


def draw_histories(item_ids: Sequence[str], longest: int, count: int, seed: int) -> list[list[str]]:
    """`count` histories of 1..longest items."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, count)
    return [[str(item) for item in generator.choice(np.asarray(item_ids, object), length)] for length in lengths]


def encoded(histories: Sequence[Sequence[str]], model_name: str, k: int) -> list[bytes]:
    """One Predict request a history."""
    query = Queries(Model(model_name), 1).recommend(histories, k, (), ())
    return [operation.request for operation in query.operations]
