"""Cache keys that do not depend on where the root lies, so that a root that was moved keeps its cache."""

from __future__ import annotations

import contextlib
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import cache_utils

_HERE = "ROOT"


@contextlib.contextmanager
def movable_cache_keys(root: str) -> Iterator[None]:
    """While the block runs, TFX computes its cache keys with "ROOT" for the root's path.

    TFX's own key is a hash over the absolute paths of inputs and over all parameters.

    Args:
        root: absolute path of the root.
    """
    original = cache_utils.get_cache_context

    def keyed(*, input_artifacts: Any = None, parameters: Any = None, **arguments: Any) -> metadata_store_pb2.Context:
        return original(
            input_artifacts=_artifacts(input_artifacts or {}, root),
            parameters={name: _text(str(value), root) for name, value in (parameters or {}).items()},
            **arguments,
        )

    cache_utils.get_cache_context = keyed
    try:
        yield
    finally:
        cache_utils.get_cache_context = original


def _artifacts(channels: Mapping[str, Sequence[Any]], root: str) -> dict[str, list[Any]]:
    """Stand-ins that have what the key is made of."""
    return {
        key: [types.SimpleNamespace(mlmd_artifact=_artifact(artifact.mlmd_artifact, root)) for artifact in artifacts]
        for key, artifacts in channels.items()
    }


def _artifact(proto: metadata_store_pb2.Artifact, root: str) -> metadata_store_pb2.Artifact:
    placed = metadata_store_pb2.Artifact()
    placed.CopyFrom(proto)
    placed.uri = _text(proto.uri, root)
    for properties in (placed.properties, placed.custom_properties):
        for value in properties.values():
            if value.HasField("string_value"):
                value.string_value = _text(value.string_value, root)
    return placed


def _text(text: str, root: str) -> str:
    # Parameters are JSON, where letters beyond ASCII have another form.
    forms = "|".join(map(re.escape, (root, json.dumps(root)[1:-1])))
    # The root itself and what lies below, not what has a longer name.
    return re.sub(rf"(?:{forms})(?![\w.-])", _HERE, text)
