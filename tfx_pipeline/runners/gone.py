"""Artifacts that the metadata has and the disk has not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ml_metadata.proto import metadata_store_pb2

# Custom property of artifacts that were found gone; those that TFX itself deleted do not have it.
_GONE = "gone_from_disk"
_Artifact = metadata_store_pb2.Artifact


def mark_gone(store: Any, root: str) -> list[str]:
    """Makes the states in the metadata those of the disk, so that no resolver finds what is not there.

    A blessed model whose directory was deleted counts as never blessed: the model that was blessed before it is the
    baseline, or none. An artifact that came back counts again.

    Args:
        store: an `ml_metadata.MetadataStore`.
        root: absolute path of the root; artifacts elsewhere are left alone.

    Returns:
        What to tell the user, a line each.
    """
    artifacts = store.get_artifacts()
    gone = missing(artifacts, root)
    back = [
        artifact
        for artifact in artifacts
        if artifact.state == _Artifact.DELETED and _GONE in artifact.custom_properties and os.path.exists(artifact.uri)
    ]
    for artifact in gone:
        artifact.state = _Artifact.DELETED
        artifact.custom_properties[_GONE].int_value = 1
    for artifact in back:
        artifact.state = _Artifact.LIVE
        del artifact.custom_properties[_GONE]
    if gone or back:
        store.put_artifacts([*gone, *back])
    return lost(gone, artifacts)


def missing(artifacts: Iterable[metadata_store_pb2.Artifact], root: str) -> list[metadata_store_pb2.Artifact]:
    """Live artifacts below the root that are not on the disk."""
    return [
        artifact
        for artifact in artifacts
        if artifact.state == _Artifact.LIVE and artifact.uri.startswith(f"{root}/") and not os.path.exists(artifact.uri)
    ]


def lost(gone: Iterable[metadata_store_pb2.Artifact], artifacts: Iterable[metadata_store_pb2.Artifact]) -> list[str]:
    """A line for each blessed model among the artifacts that are gone, and one for all others."""
    blessed = {
        artifact.custom_properties["current_model_id"].int_value
        for artifact in artifacts
        if artifact.type == "ModelBlessing" and artifact.custom_properties["blessed"].int_value
    }
    models = [artifact for artifact in gone if artifact.id in blessed]
    others = [artifact for artifact in gone if artifact.id not in blessed]
    lines = [
        f"warning: the blessed model {model.uri} is gone from the disk: it counts as never blessed, and the model"
        " blessed before it is the baseline, if there is one"
        for model in models
    ]
    if others:
        lines.append(
            f"{len(others)} artifacts of earlier runs are gone from the disk, as {others[0].uri}; what is needed of"
            " them is made anew"
        )
    return lines
