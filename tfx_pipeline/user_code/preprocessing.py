"""`preprocessing_fn`: item ids to item indices, the same graph in training and in the exported signatures."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from h2rec_tf import names
from h2rec_tf.semantic_ids import ITEM_IDS_FILE
from tfx_pipeline import constants


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Transforms a batch of user examples.

    The index of an item is its line in the catalogue's vocabulary plus one. Ids that are not in the catalogue leave the
    history; an unknown or absent target becomes 0. The vocabulary file becomes an asset of the transform graph, so the
    graph stays usable where the semantic IDs are not.

    Args:
        inputs: sparse string `[B, ?]` for `user_id`, `history` and `target`; sparse int64 `timestamps` where the data
            has them.
        custom_config: `semantic_ids`, the directory with the catalogue's vocabulary.

    Returns:
        `history_index`: sparse int64 `[B, ?]`; `target_index`: int64 `[B]`; `user_id` and `timestamps` as they came.
    """
    lines = _vocabulary(os.path.join(custom_config[constants.SEMANTIC_IDS], ITEM_IDS_FILE))
    history, target = inputs[names.HISTORY], inputs[names.TARGET]
    # Counted on the analyzed split, which is training alone; read by the Trainer.
    tft.vocabulary(history, vocab_filename=constants.POPULARITY_VOCABULARY, store_frequency=True)
    outputs = {
        names.USER_ID: inputs[names.USER_ID],
        names.HISTORY_INDEX: _known(history.with_values(lines.lookup(history.values))),
        names.TARGET_INDEX: _single(target.with_values(lines.lookup(target.values))),
    }
    if names.TIMESTAMPS in inputs:
        outputs[names.TIMESTAMPS] = inputs[names.TIMESTAMPS]
    return outputs


def _vocabulary(path: str) -> tf.lookup.StaticHashTable:
    """Item id -> its line in the file, -1 for others.

    Outside the traced function: the file is then saved as an asset of the transform graph. `tft.apply_vocabulary` does
    the same for a path, but not after `tft.vocabulary` was called.
    """
    with tf.init_scope():
        initializer = tf.lookup.TextFileInitializer(
            path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        return tf.lookup.StaticHashTable(initializer, default_value=-1)


def _known(rows: tf.SparseTensor) -> tf.SparseTensor:
    """Vocabulary lines, -1 for unknown, as item indices without the unknown ones."""
    # From row ids, not through `tf.RaggedTensor.from_sparse`: that one rejects rows that are all empty.
    ragged = tf.RaggedTensor.from_value_rowids(rows.values + 1, rows.indices[:, 0], nrows=rows.dense_shape[0])
    return tf.ragged.boolean_mask(ragged, ragged > 0).to_sparse()


def _single(rows: tf.SparseTensor) -> tf.Tensor:
    """The first value of each row as an item index: int64 `[B]`, 0 where the row is empty or unknown."""
    count = rows.dense_shape[0]
    return tf.math.unsorted_segment_max(rows.values + 1, rows.indices[:, 0], count) * tf.cast(
        tf.math.unsorted_segment_sum(tf.ones_like(rows.values), rows.indices[:, 0], count) > 0, tf.int64
    )
