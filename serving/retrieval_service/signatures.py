"""The operations as signatures: names, types and shapes of what goes in and comes out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from h2rec_tf import names
from serving import tensors

SEARCH, SIMILAR_ITEMS = "search", "similar_items"
UPSERT, DELETE = "upsert", "delete"
SNAPSHOT, REBALANCE, STATUS = "snapshot", "rebalance", "status"
EXCLUDE, VECTORS, TEXTS, TEXT_VECTORS = "exclude", "vectors", "texts", "text_vectors"
SEQUENCE, EXISTED, PATH = "sequence", "existed", "path"

# Operations on many items at once, which a search never is.
WRITES = frozenset({UPSERT, DELETE})
# Operations that wait for the disk or longer, and never keep a search from running.
SLOW = frozenset({UPSERT, DELETE, SNAPSHOT, REBALANCE})

_STRING, _FLOAT, _INT, _LONG, _BOOL = (
    types_pb2.DT_STRING,
    types_pb2.DT_FLOAT,
    types_pb2.DT_INT32,
    types_pb2.DT_INT64,
    types_pb2.DT_BOOL,
)
_Spec = tuple[int, list[int]]
_STRINGS: _Spec = (_STRING, [-1])
_LISTS: _Spec = (_STRING, [-1, -1])
_FOUND: dict[str, _Spec] = {names.ITEM_IDS: _LISTS, names.TITLES: _LISTS, names.SCORES: (_FLOAT, [-1, -1])}
_NO_STRINGS, _NO_LISTS = np.empty(0, object), np.empty((0, 0), object)


def definitions(width: int, *, query_tower: bool) -> dict[str, meta_graph_pb2.SignatureDef]:
    """All signatures by name.

    Args:
        width: D.
        query_tower: histories can be turned into vectors.
    """
    vectors: _Spec = (_FLOAT, [-1, width])
    listing: dict[str, _Spec] = {names.K: (_INT, []), EXCLUDE: _LISTS}
    defaults = {names.K: np.asarray(10, np.int32), EXCLUDE: _NO_LISTS}
    written: dict[str, _Spec] = {SEQUENCE: (_LONG, []), EXISTED: (_BOOL, [-1])}
    done: dict[str, _Spec] = {SEQUENCE: (_LONG, []), PATH: (_STRING, [])}
    result = {
        SEARCH: _definition({VECTORS: vectors, **listing}, _FOUND, defaults),
        SIMILAR_ITEMS: _definition({names.ITEM_IDS: _STRINGS, **listing}, _FOUND, defaults),
        names.ITEM_EMBEDDING: _definition({names.ITEM_IDS: _STRINGS}, {names.EMBEDDING: vectors}),
        names.ITEM_TITLES: _definition({names.ITEM_IDS: _STRINGS}, {names.TITLES: _STRINGS}),
        UPSERT: _definition(
            {
                names.ITEM_IDS: _STRINGS,
                names.TITLES: _STRINGS,
                VECTORS: vectors,
                TEXTS: _STRINGS,
                TEXT_VECTORS: (_FLOAT, [-1, -1]),
            },
            written,
            {
                names.TITLES: _NO_STRINGS,
                VECTORS: np.empty((0, width), np.float32),
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
) -> meta_graph_pb2.SignatureDef:
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
