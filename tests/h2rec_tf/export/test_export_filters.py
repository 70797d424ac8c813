"""Requests that exclude items or allow some categories only."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_support import CATEGORIES, DATA, IDS, MAX_K, ids_of, recommend, saved_model, serving_of
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MAX_LENGTH, NUM_ITEMS, left_padded

from h2rec_tf import names
from h2rec_tf.export import export_model


def _oracle(model: Any, history: list[int], barred: set[int], allowed: set[str]) -> list[int]:
    """All items that may come back, best first."""
    scores = _scores(model, history) if history else DATA.popularity.astype(np.float32)
    left = [
        item
        for item in range(1, NUM_ITEMS + 1)
        if item not in barred
        and item not in history
        and (not allowed or allowed & set(CATEGORIES[item - 1].split("|")))
    ]
    return sorted(left, key=lambda item: (-scores[item], item))


def _scores(model: Any, history: list[int]) -> np.ndarray:
    padded = tf.constant(left_padded([history[-MAX_LENGTH:]], MAX_LENGTH))
    table = model.learned_table().numpy()
    return table @ model.user_vectors(padded).numpy()[0, : table.shape[1]]


_LISTS = st.lists(st.integers(0, NUM_ITEMS), max_size=MAX_K)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.tuples(_LISTS, _LISTS, st.sets(st.sampled_from(["even", "odd", "rare", "none such"]), max_size=2)),
        min_size=1,
        max_size=3,
    ),
    k=st.integers(1, MAX_K),
)
def test_filters_hold_for_any_request(model: Any, signatures: Any, rows: list[Any], k: int) -> None:
    # 0 stands for an id that the catalogue does not have.
    texts = ["nowhere", *IDS]
    answer = recommend(
        signatures,
        [[texts[item] for item in history] for history, _, _ in rows],
        k=k,
        exclude=[[texts[item] for item in barred] for _, barred, _ in rows],
        allow_categories=[sorted(allowed) for _, _, allowed in rows],
    )
    for row, (sent, barred, allowed) in enumerate(rows):
        history = [item for item in sent if item]
        expected = _oracle(model, history, set(barred), allowed)[:k]
        count = int(answer[names.COUNT][row])
        found = ids_of(answer)[row]
        assert count == len(expected) and set(found[count:]) <= {""}
        scores = answer[names.SCORES][row]
        assert (np.diff(scores) <= 1e-6).all() and (scores[count:] == np.finfo(np.float32).min).all()
        # Near ties may change places by the order of summation.
        assert (
            set(found[:count]) == {IDS[item - 1] for item in expected}
            or abs(scores[count - 1] - _scores(model, history)[expected[-1]]) < 1e-5
        )


def test_one_exclude_list_and_one_allow_list_hold_for_all_rows(signatures: Any) -> None:
    rows = [[IDS[4]], [IDS[9]], []]
    lists = {"exclude": [IDS[:20].tolist()], "allow_categories": [["odd", "", "rare"]]}
    answer = recommend(signatures, rows, k=MAX_K, **lists)
    for row in ids_of(answer):
        assert not set(row) & set(IDS[:20]) and IDS[-1] not in row
    each = recommend(signatures, rows, k=MAX_K, **{name: 3 * value for name, value in lists.items()})
    np.testing.assert_array_equal(each[names.ITEM_IDS], answer[names.ITEM_IDS])
    with pytest.raises(tf.errors.InvalidArgumentError):
        recommend(signatures, rows, exclude=[[IDS[0]], [IDS[1]]])


def test_catalogues_without_categories_have_no_allow_list(model: Any, tmp_path: pathlib.Path) -> None:
    export_model(serving_of(model, categories=None), str(tmp_path / "1"))
    definition = saved_model(str(tmp_path / "1")).meta_graphs[0].signature_def[names.SERVING_DEFAULT]
    assert set(definition.inputs) == {names.HISTORY, names.K, names.EXCLUDE}
    assert set(definition.defaults) == {names.K, names.EXCLUDE}


def test_examples_carry_their_own_lists(signatures: Any) -> None:
    def feature(items: list[str]) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[item.encode() for item in items]))

    features = {"history": feature([IDS[4]]), "exclude": feature([IDS[1], IDS[2]])}
    restricted = {**features, "allow_categories": feature(["rare"])}
    serialized = tf.constant(
        [
            tf.train.Example(features=tf.train.Features(feature=row)).SerializeToString()
            for row in (features, restricted)
        ]
    )
    answer = signatures[names.SERVE_EXAMPLES](examples=serialized, k=tf.constant(MAX_K))
    found = ids_of({key: value.numpy() for key, value in answer.items()})
    expected = recommend(
        signatures, 2 * [[IDS[4]]], k=MAX_K, exclude=2 * [[IDS[1], IDS[2]]], allow_categories=[[], ["rare"]]
    )
    assert found == ids_of(expected)
