"""What a history gets back from the exported model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_support import DATA, IDS, MAX_K, ids_of, recommend
from support import MAX_LENGTH, NUM_ITEMS

from h2rec_tf import names


def test_recommends_the_best_unseen_items_by_the_models_score(model: Any, signatures: Any) -> None:
    history = [3, 17, 9]
    answer = recommend(signatures, [[IDS[item - 1] for item in history]], k=6)
    table = model.learned_table().numpy()
    # The part that tells what was seen would only press down unseen items that share a slot with seen ones.
    scores = table @ model(tf.constant([history])).numpy()[0, : table.shape[1]]
    scores[[0, *history]] = -np.inf
    best = np.argsort(-scores)[:6]
    assert ids_of(answer) == [[IDS[item - 1] for item in best]]
    np.testing.assert_allclose(answer[names.SCORES][0], scores[best], atol=1e-5)
    assert answer[names.TITLES][0].astype(str).tolist() == [DATA.catalogue.titles[item - 1] for item in best]
    assert answer[names.ITEM_IDS].dtype == object and answer[names.SCORES].dtype == np.float32


def test_unknown_and_empty_ids_are_ignored_wherever_they_stand(signatures: Any) -> None:
    plain = recommend(signatures, [[IDS[4], IDS[8]]])
    mixed = recommend(signatures, [["nowhere", IDS[4], "", IDS[8], "", "Größe", ""]])
    assert ids_of(mixed) == ids_of(plain)
    np.testing.assert_allclose(mixed[names.SCORES], plain[names.SCORES], atol=1e-5)


def test_rows_of_a_batch_are_answered_each_for_itself(signatures: Any) -> None:
    rows = [[IDS[4]], [IDS[4], IDS[8], IDS[30]], [], ["nowhere"]]
    together = recommend(signatures, rows)
    for row, history in enumerate(rows):
        assert ids_of(recommend(signatures, [history]))[0] == ids_of(together)[row]


def test_items_of_the_whole_history_never_come_back(signatures: Any) -> None:
    # Longer than the model reads.
    history = IDS[:30].tolist() * 2
    answer = recommend(signatures, [history], k=MAX_K)
    found = [item for item in ids_of(answer)[0] if item]
    assert sorted(found) == sorted(IDS[30:])
    assert ids_of(answer)[0][len(found) :] == [""] * (NUM_ITEMS - len(found)), "nothing is left to fill the list"
    assert (answer[names.TITLES][0][len(found) :] == b"").all()
    assert answer[names.COUNT].tolist() == [len(found)]
    assert np.isfinite(answer[names.SCORES]).all()


def test_only_the_last_items_of_a_long_history_are_read(signatures: Any) -> None:
    long = [*IDS[20:40], *IDS[:MAX_LENGTH]]
    scores = [
        dict(zip(ids_of(answer)[0], answer[names.SCORES][0], strict=True))
        for answer in (recommend(signatures, [history], k=MAX_K) for history in (long, IDS[:MAX_LENGTH].tolist()))
    ]
    for item in set(scores[0]) & set(scores[1]) - {""}:
        np.testing.assert_allclose(scores[0][item], scores[1][item], atol=1e-5)


@pytest.mark.parametrize("history", [[], ["nowhere", ""]])
def test_without_known_history_the_most_popular_items_come(signatures: Any, history: list[str]) -> None:
    answer = recommend(signatures, [history], k=5)
    counts = DATA.popularity[1:]
    expected = np.argsort(-counts, kind="stable")[:5]
    assert ids_of(answer) == [IDS[expected].tolist()]
    np.testing.assert_array_equal(answer[names.SCORES][0], counts[expected])


def test_k_above_the_catalogue_gives_all_that_is_left(signatures: Any) -> None:
    answer = recommend(signatures, [[IDS[0]]], k=MAX_K)
    assert answer[names.ITEM_IDS].shape == (1, NUM_ITEMS)
    assert ids_of(answer)[0][-1] == "" and "" not in ids_of(answer)[0][:-1]


@pytest.mark.parametrize("k", [0, -3, MAX_K + 1])
def test_k_out_of_range_is_refused_with_the_range(signatures: Any, k: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`k` must be between 1 and {MAX_K}"):
        recommend(signatures, [[IDS[0]]], k=k)
