"""Requests to an exported model that share a call of it are answered as each is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import sharing
import tensorflow as tf
from export_support import IDS, MAX_K

from h2rec_tf import names
from serving.server.servable import Servable

ROUNDS = 6
# A product of matrices rounds differently with another number of rows.
TOLERANCE = 1e-5
Request = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def servable(directory: str) -> Iterator[Servable]:
    loaded = Servable.load(1, directory)
    yield loaded
    loaded.close()


def _strings(values: list[list[bytes]] | list[bytes]) -> np.ndarray:
    array = np.empty(np.shape(values), object)
    array[:] = values
    return array


def _ids(generator: np.random.Generator, *shape: int) -> np.ndarray:
    known = [*IDS.tolist(), "", "", "nobody knows it"]
    picked = [known[place].encode() for place in generator.integers(0, len(known), int(np.prod(shape)))]
    array = np.empty(len(picked), object)
    array[:] = picked
    return array.reshape(shape)


def _length(generator: np.random.Generator) -> int:
    return int(generator.choice([0, 1, 2, 5, 20, 70]))


def _rows(generator: np.random.Generator) -> int:
    return int(generator.integers(1, 4))


def _k(generator: np.random.Generator) -> Request:
    return {} if generator.random() < 0.3 else {names.K: np.asarray(generator.choice([1, 3, MAX_K]), np.int32)}


def _recommend(generator: np.random.Generator) -> Request:
    rows = _rows(generator)
    request = {names.HISTORY: _ids(generator, rows, _length(generator)), **_k(generator)}
    if generator.random() < 0.6:
        one_for_all = generator.random() < 0.3
        request[names.EXCLUDE] = _ids(generator, 1 if one_for_all else rows, _length(generator))
    if generator.random() < 0.6:
        picked = generator.choice([b"even", b"rare", b"", b"no such"], (rows, int(generator.integers(0, 3))))
        request[names.ALLOW_CATEGORIES] = picked.astype(object)
    return request


def _example(generator: np.random.Generator) -> bytes:
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=_ids(generator, _length(generator)).tolist()))
        for name in (names.HISTORY, names.EXCLUDE)
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _similar(generator: np.random.Generator) -> Request:
    return {names.ITEM_IDS: _ids(generator, _rows(generator)), **_k(generator)}


def _items(generator: np.random.Generator) -> Request:
    return {names.ITEM_IDS: _ids(generator, _rows(generator))}


def _rank(generator: np.random.Generator) -> Request:
    rows = _rows(generator)
    return {
        names.HISTORY: _ids(generator, rows, _length(generator)),
        names.CANDIDATES: _ids(generator, rows, int(generator.integers(1, 4))),
    }


MAKERS: dict[str, Callable[[np.random.Generator], Request]] = {
    names.SERVING_DEFAULT: _recommend,
    names.SERVE_EXAMPLES: lambda generator: {
        names.EXAMPLES: _strings([_example(generator) for _ in range(_rows(generator))]),
        **_k(generator),
    },
    names.SIMILAR_ITEMS: _similar,
    names.RANK_CANDIDATES: _rank,
    names.USER_EMBEDDING: lambda generator: {names.HISTORY: _ids(generator, _rows(generator), _length(generator))},
    names.ITEM_EMBEDDING: _items,
    names.ITEM_TITLES: _items,
}


def test_every_signature_is_asked(servable: Servable) -> None:
    assert set(servable.definitions) == set(MAKERS)


@pytest.mark.parametrize("signature", MAKERS)
def test_shared_calls_answer_as_calls_of_one(servable: Servable, signature: str) -> None:
    generator = np.random.default_rng(0)
    sizes: list[int] = []
    for _ in range(ROUNDS):
        requests = [MAKERS[signature](generator) for _ in range(8)]
        sizes += sharing.check(servable, signature, requests, tolerance=TOLERANCE)
    assert max(sizes) > 1
