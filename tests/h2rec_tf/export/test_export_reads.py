"""What a request costs in memory traffic: the table of the catalogue is read where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_support import IDS, matrix, recommend

from h2rec_tf import names

_HISTORY = {names.HISTORY: matrix([[IDS[3], IDS[4]]])}
# Signatures that look up single rows.
_CALLS: dict[str, dict[str, Any]] = {
    names.ITEM_EMBEDDING: {names.ITEM_IDS: tf.constant([IDS[5]])},
    names.SIMILAR_ITEMS: {names.ITEM_IDS: tf.constant([IDS[5]]), names.K: tf.constant(3)},
    names.RANK_CANDIDATES: {**_HISTORY, names.CANDIDATES: matrix([[IDS[5], IDS[6]]])},
}


@pytest.mark.parametrize("name", sorted(_CALLS))
def test_a_look_up_of_rows_leaves_later_reads_without_a_copy(name: str, directory: str) -> None:
    loaded = tf.saved_model.load(directory)
    signature = loaded.signatures[name]
    signature(**_CALLS[name])
    recommend(loaded.signatures, [[IDS[3]]])
    read_whole = [v for v in signature.variables if v.name.startswith(("item_table", "popularity", "inverse_lengths"))]
    assert read_whole
    for variable in read_whole:
        assert _address(variable.read_value()) == _address(variable.read_value()), variable.name


def _address(tensor: tf.Tensor) -> int:
    # The buffer protocol hands out the tensor's own memory.
    return int(np.asarray(memoryview(tensor)).__array_interface__["data"][0])
