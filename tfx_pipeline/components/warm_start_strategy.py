"""Which model a warm start begins with."""

from __future__ import annotations

from typing import Any

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy

from tfx_pipeline import constants

_MODEL, _BLESSING, _EXAMPLES = "model", "model_blessing", "examples"


class WarmStartStrategy(ResolverStrategy):
    """The last blessed model that was trained on other examples than the present ones.

    A model that was trained on the same examples has nothing to learn from them again; and were it taken, every run on
    unchanged data would have a new input and could not be taken from the cache.

    Input keys: `model`, `model_blessing`, `examples` (the transformed examples that will be trained on).
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """The artifacts under the same keys; no model where none fits."""
        examples = input_dict[_EXAMPLES]
        trained_here = _models_trained_on(store, [artifact.id for artifact in examples])
        others = [model for model in input_dict[_MODEL] if model.id not in trained_here]
        found: Any = LatestBlessedModelStrategy().resolve_artifacts(
            store, {_MODEL: others, _BLESSING: input_dict[_BLESSING]}
        )
        return {**found, _EXAMPLES: examples}


def _models_trained_on(store: mlmd.MetadataStore, examples: list[int]) -> set[int]:
    """Ids of the artifacts that a Trainer made from these examples."""
    reading = {event.execution_id for event in store.get_events_by_artifact_ids(examples)} if examples else set()
    if not reading:
        return set()
    trainings = [
        execution.id
        for execution in store.get_executions_by_id(list(reading))
        if store.get_execution_types_by_id([execution.type_id])[0].name.endswith(constants.TRAINER)
    ]
    if not trainings:
        return set()
    outputs = (mlmd.proto.Event.OUTPUT, mlmd.proto.Event.PENDING_OUTPUT)
    events = store.get_events_by_execution_ids(trainings)
    return {event.artifact_id for event in events if event.type in outputs}
