"""`preprocessing_fn`: the batch run, the layer that serving uses, and the popularity counts."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from pipeline_support import ITEM_IDS, RAW_SPEC, Transformed, example

from tfx_pipeline.user_code.trainer import read_popularity


def test_ids_become_indices_and_unknown_ones_leave(transformed: Transformed) -> None:
    histories = [row["history_index"].tolist() for row in transformed.outputs]
    assert histories == [[2, 1, 2], [], [40], []]
    assert [int(row["target_index"]) for row in transformed.outputs] == [3, 0, 0, 1]


def test_users_and_times_pass_through(transformed: Transformed) -> None:
    assert [row["user_id"].tolist() for row in transformed.outputs] == [[b"a"], [b"b"], [b"c"], [b"d"]]
    assert [row["timestamps"].tolist() for row in transformed.outputs] == [[1, 2, 3], [], [4, 5], [6]]


def test_serving_layer_gives_what_the_batch_run_gave(transformed: Transformed) -> None:
    """The graph carries its vocabulary: the file it was made from is gone."""
    layer = transformed.graph.transform_features_layer()
    features = layer(tf.io.parse_example([example(**row) for row in transformed.rows], RAW_SPEC))
    dense = tf.sparse.to_dense(features["history_index"]).numpy()
    for row, output in enumerate(transformed.outputs):
        assert [value for value in dense[row].tolist() if value] == output["history_index"].tolist()
        assert features["target_index"][row] == output["target_index"]


def test_serving_layer_takes_requests_without_any_history(transformed: Transformed) -> None:
    layer = transformed.graph.transform_features_layer()
    features = layer(tf.io.parse_example([example(), example(history=[])], RAW_SPEC))
    assert features["history_index"].dense_shape.numpy().tolist() == [2, 0]
    assert features["target_index"].numpy().tolist() == [0, 0]


def test_popularity_counts_known_training_items(transformed: Transformed) -> None:
    popularity = np.zeros(len(ITEM_IDS) + 1, np.int64)
    popularity[[1, 2, 40]] = 1, 2, 1
    found = read_popularity(transformed.graph, np.asarray(ITEM_IDS, dtype=object))
    np.testing.assert_array_equal(found, popularity)
