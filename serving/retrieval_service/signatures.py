"""The operations as signatures: names, types and shapes of what goes in and comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from h2rec_tf import names
from serving import tensors

SEARCH = "search"
UPSERT, DELETE = "upsert", "delete"
SNAPSHOT, REBALANCE, STATUS = "snapshot", "rebalance", "status"
TEXTS, TEXT_VECTORS = "texts", "text_vectors"
SEQUENCE, EXISTED, PATH = "sequence", "existed", "path"

# Operations that wait for the disk.
WRITES = frozenset({UPSERT, DELETE})
# Operations that take seconds or minutes.
MAINTENANCE = frozenset({SNAPSHOT, REBALANCE})

# TensorFlow's numbers of its types.
_FLOAT, _INT, _STRING, _LONG, _BOOL = 1, 3, 7, 9, 10
_Spec = tuple[int, list[int]]
_STRINGS: _Spec = (_STRING, [-1])
_LISTS: _Spec = (_STRING, [-1, -1])
_FOUND: dict[str, _Spec] = {
    names.ITEM_IDS: _LISTS,
    names.TITLES: _LISTS,
    names.SCORES: (_FLOAT, [-1, -1]),
    names.COUNT: (_INT, [-1]),
}
_NO_STRINGS, _NO_LISTS = np.empty(0, object), np.empty((1, 0), object)


def definitions(width: int, *, query_tower: bool) -> dict[str, Any]:
    """All signatures by name, as SignatureDefs.

    Args:
        width: D.
        query_tower: histories can be turned into vectors.
    """
    vectors: _Spec = (_FLOAT, [-1, width])
    listing: dict[str, _Spec] = {names.K: (_INT, []), names.EXCLUDE: _LISTS}
    defaults = {names.K: np.asarray(10, np.int32), names.EXCLUDE: _NO_LISTS}
    written: dict[str, _Spec] = {SEQUENCE: (_LONG, []), EXISTED: (_BOOL, [-1])}
    done: dict[str, _Spec] = {SEQUENCE: (_LONG, []), PATH: (_STRING, [])}
    result = {
        SEARCH: _definition({names.VECTORS: vectors, **listing}, _FOUND, defaults),
        names.SIMILAR_ITEMS: _definition({names.ITEM_IDS: _STRINGS, **listing}, _FOUND, defaults),
        names.ITEM_EMBEDDING: _definition({names.ITEM_IDS: _STRINGS}, {names.EMBEDDING: vectors}),
        names.ITEM_TITLES: _definition({names.ITEM_IDS: _STRINGS}, {names.TITLES: _STRINGS}),
        UPSERT: _definition(
            {
                names.ITEM_IDS: _STRINGS,
                names.TITLES: _STRINGS,
                names.VECTORS: vectors,
                TEXTS: _STRINGS,
                TEXT_VECTORS: (_FLOAT, [-1, -1]),
            },
            written,
            {
                names.TITLES: _NO_STRINGS,
                names.VECTORS: np.empty((0, width), np.float32),
                TEXTS: _NO_STRINGS,
                TEXT_VECTORS: np.empty((0, 0), np.float32),
            },
        ),
        DELETE: _definition({names.ITEM_IDS: _STRINGS}, written),
        SNAPSHOT: _definition({}, done),
        REBALANCE: _definition({}, done),
        STATUS: _definition(
            {},
            {
                **{
                    key: (_LONG, [])
                    for key in ("items", "width", SEQUENCE, "snapshot_sequence", "log_bytes", "changed")
                },
                **{key: (_STRING, []) for key in ("kind", "model_version")},
            },
        ),
    }
    if query_tower:
        result[names.SERVING_DEFAULT] = _definition({names.HISTORY: _LISTS, **listing}, _FOUND, defaults)
    return result


def _definition(
    inputs: Mapping[str, _Spec], outputs: Mapping[str, _Spec], defaults: Mapping[str, np.ndarray] | None = None
) -> Any:
    # Here, so that a client does not wait for TensorFlow.
    from tensorflow.core.protobuf import meta_graph_pb2

    result = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for specs, infos in ((inputs, result.inputs), (outputs, result.outputs)):
        for alias, (dtype, shape) in specs.items():
            infos[alias].name, infos[alias].dtype = f"{alias}:0", dtype
            infos[alias].tensor_shape.SetInParent()
            for size in shape:
                infos[alias].tensor_shape.dim.add(size=size)
    for alias, array in (defaults or {}).items():
        tensors.encode_into(result.defaults[alias], array)
    return result
