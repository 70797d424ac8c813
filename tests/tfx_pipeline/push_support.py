"""The Pusher's executor on a model artifact, in this process or in one that is to be killed."""

from __future__ import annotations

import json
import pathlib

from tfx.types import standard_artifacts
from trainer_support import at

from tfx_pipeline.artifacts import IndexBlessing, ItemIndex
from tfx_pipeline.components.pusher import NewestPusherExecutor


def push(
    root: pathlib.Path,
    model: pathlib.Path,
    *,
    index: pathlib.Path | None = None,
    blessed: bool | None = True,
    index_blessed: bool | None = True,
) -> standard_artifacts.PushedModel:
    """Pushes to `root/serving`; a blessing of None is not given at all."""
    inputs = {"model": at(standard_artifacts.Model(), model)}
    if blessed is not None:
        blessing = standard_artifacts.ModelBlessing()
        blessing.set_int_custom_property("blessed", int(blessed))
        inputs["model_blessing"] = at(blessing, root / "blessing")
    if index is not None:
        inputs["index"] = at(ItemIndex(), index)
    if index is not None and index_blessed is not None:
        verdict = IndexBlessing()
        verdict.set_int_custom_property("blessed", int(index_blessed))
        inputs["index_blessing"] = at(verdict, index.parent / "blessing")
    outputs = {"pushed_model": at(standard_artifacts.PushedModel(), root / "pushed")}
    destination = {"filesystem": {"base_directory": str(root / "serving")}}
    properties = {"push_destination": json.dumps(destination), "custom_config": "null"}
    NewestPusherExecutor().Do(inputs, outputs, properties)
    return outputs["pushed_model"][0]
