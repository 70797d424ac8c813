"""Coding of examples: what is written is what is read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from tfx_bsl.coders import example_coder

from h2rec_tf.data.sequences import Catalogue, Sequences, catalogue_order
from h2rec_tf.errors import InputError
from tfx_pipeline.examples import decode_holdout, decode_items, decode_training, encode_items, encode_users

IDS = np.asarray(["apple", "blå bär", "c, d"], dtype=object)


def values(serialized: bytes) -> dict[str, list]:
    """Feature -> values of one example, through TensorFlow's own parser."""
    features = tf.train.Example.FromString(serialized).features.feature
    return {name: list(getattr(feature, feature.WhichOneof("kind")).value) for name, feature in features.items()}


def batch(rows: list[dict]) -> pa.RecordBatch:
    """Rows as TFX would hand them over after Transform."""
    columns = {name: pa.array([row.get(name) for row in rows]) for name in rows[0]}
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def catalogue(vectors: bool) -> Catalogue:
    ids = IDS[catalogue_order(IDS.tolist())]
    texts = np.asarray([f"text {item}" for item in ids], dtype=object)
    titles = np.asarray(["", *ids[1:]], dtype=object)
    categories = np.asarray(["fruit|red", "", "fruit"], dtype=object)
    return Catalogue(
        ids, titles, texts, np.eye(3, 5, dtype=np.float32) if vectors else None, categories if vectors else None
    )


def test_user_examples_hold_ids_times_and_target() -> None:
    histories = Sequences(
        np.asarray(["u1", "u2"], dtype=object),
        np.asarray([1, 3, 1], np.int32),
        np.asarray([0, 3, 3], np.int64),
        np.asarray([5, 6, 9], np.int64),
    )
    (examples,) = encode_users(histories, IDS, np.asarray([2, 3], np.int32))
    first, second = (values(example) for example in examples)
    assert first["user_id"] == [b"u1"]
    assert first["history"] == [b"apple", b"c, d", b"apple"]
    assert first["timestamps"] == [5, 6, 9]
    assert first["target"] == ["blå bär".encode()]
    assert second["history"] == []
    assert second["target"] == [b"c, d"]


def test_training_examples_have_no_target() -> None:
    (examples,) = encode_users(Sequences.from_lists([[1, 2]]), IDS)
    assert set(values(examples[0])) == {"user_id", "history"}


def test_a_later_batch_has_its_own_rows() -> None:
    lists = [[row % 3 + 1] * (row % 4) for row in range(5000)]
    examples = [example for part in encode_users(Sequences.from_lists(lists), IDS) for example in part]
    assert len(examples) == 5000
    for row in (0, 4095, 4096, 4999):
        found = values(examples[row])
        assert found["user_id"] == [f"user-{row}".encode()]
        assert found["history"] == [IDS[item - 1].encode() for item in lists[row]]


@pytest.mark.parametrize("vectors", [True, False])
def test_items_come_back_in_catalogue_order(vectors: bool) -> None:
    items = catalogue(vectors)
    (examples,) = encode_items(items)
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    # Two files in another order than they were written.
    found = decode_items([decoder.DecodeBatch([examples[2]]), decoder.DecodeBatch([examples[1], examples[0]])])
    np.testing.assert_array_equal(found.item_ids, items.item_ids)
    np.testing.assert_array_equal(found.titles, items.titles)
    np.testing.assert_array_equal(found.texts, items.texts)
    if vectors:
        assert found.vectors is not None
        assert items.vectors is not None
        np.testing.assert_array_equal(found.vectors, items.vectors)
        np.testing.assert_array_equal(found.categories, items.categories)
    else:
        assert found.vectors is None and found.categories is None


def test_no_items_is_an_error() -> None:
    with pytest.raises(InputError, match="catalogue is empty"):
        decode_items([])


def test_training_is_sorted_by_user_whatever_the_files() -> None:
    rows: list[dict] = [
        {"user_id": [b"b"], "history_index": [3, 1], "timestamps": [7, 8]},
        {"user_id": [b"a"], "history_index": [2], "timestamps": [4]},
        {"user_id": [b"c"], "history_index": None, "timestamps": None},
    ]
    for order in ([0, 1, 2], [2, 1, 0]):
        found = decode_training([batch([rows[order[0]]]), batch([rows[row] for row in order[1:]])])
        assert found.user_ids.tolist() == ["a", "b", "c"]
        assert [found.history(row).tolist() for row in range(3)] == [[2], [3, 1], []]
        assert found.timestamps is not None
        assert found.timestamps.tolist() == [4, 7, 8]


def test_holdout_keeps_targets_with_their_users() -> None:
    rows: list[dict] = [
        {"user_id": [b"b"], "history_index": [3, 1], "target_index": [9]},
        {"user_id": [b"a"], "history_index": None, "target_index": [4]},
    ]
    found = decode_holdout([batch(rows)])
    assert found.histories.user_ids.tolist() == ["a", "b"]
    assert found.targets.tolist() == [4, 9]
    assert found.histories.lengths.tolist() == [0, 2]


def test_holdout_without_target_is_an_error() -> None:
    with pytest.raises(InputError, match="target_index"):
        decode_holdout([batch([{"user_id": [b"a"], "history_index": [1], "target_index": None}])])
