"""The pipeline's nodes and wiring; nothing runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tfx.orchestration.pipeline import Pipeline

from h2rec_tf.config import Config
from tfx_pipeline.pipeline import create_pipeline


def definition(config: Config | None = None, **changes: str) -> Pipeline:
    """A pipeline over files that need not exist."""
    arguments: dict[str, Any] = {"interactions": "/data/events.csv", "items": "/data/items.jsonl", "embeddings": ""}
    return create_pipeline(
        pipeline_name="test",
        pipeline_root="/root/artifacts",
        serving_dir="/root/serving",
        config=config or Config(),
        **{**arguments, **changes},
    )


def properties(pipeline: Pipeline) -> dict[str, str]:
    """Node -> its parameters as text, which is what TFX's cache looks at."""
    return {node.id: json.dumps({k: str(v) for k, v in node.exec_properties.items()}) for node in pipeline.components}


def test_has_every_node_and_no_other() -> None:
    assert {node.id for node in definition().components} == {
        "ItemExampleGen",
        "InteractionExampleGen",
        "StatisticsGen",
        "SchemaGen",
        "ExampleValidator",
        "SemanticIdGen",
        "Transform",
        "Trainer",
        "BaselineResolver",
        "Evaluator",
        "Pusher",
    }


@pytest.mark.parametrize(
    ("node", "upstream"),
    [
        ("InteractionExampleGen", {"ItemExampleGen"}),
        ("SemanticIdGen", {"ItemExampleGen"}),
        ("ExampleValidator", {"StatisticsGen", "SchemaGen", "ItemExampleGen"}),
        # The validator has no output that Transform reads, yet anomalies must stop the run before it.
        ("Transform", {"InteractionExampleGen", "SchemaGen", "SemanticIdGen", "ExampleValidator"}),
        ("Trainer", {"Transform", "SemanticIdGen"}),
        ("Evaluator", {"InteractionExampleGen", "Trainer", "BaselineResolver"}),
        ("Pusher", {"Trainer", "Evaluator"}),
    ],
)
def test_upstream_nodes(node: str, upstream: set[str]) -> None:
    nodes = {component.id: component for component in definition().components}
    assert {component.id for component in nodes[node].upstream_nodes} == upstream


@pytest.mark.parametrize(
    ("change", "nodes"),
    [
        ({"gate.max_relative_drop": 0.5}, {"Evaluator"}),
        ({"training.learning_rate": 0.1}, {"Trainer"}),
        ({"quantizer.levels": 2}, {"SemanticIdGen"}),
        ({"codebooks.max_dead_codes": 0.1}, {"SemanticIdGen"}),
        ({"validation.max_drift": 0.5}, {"ExampleValidator"}),
        ({"data.spans": 7}, {"InteractionExampleGen"}),
        ({"data.split": "temporal"}, {"InteractionExampleGen"}),
        ({"data.title_column": "name"}, {"ItemExampleGen"}),
        ({"evaluation.ks": [3]}, {"Trainer", "Evaluator"}),
    ],
)
def test_a_setting_touches_only_the_nodes_that_read_it(change: dict[str, object], nodes: set[str]) -> None:
    before, after = properties(definition()), properties(definition(Config().replace(**change)))
    assert {node for node in before if before[node] != after[node]} == nodes


def test_changed_file_content_touches_its_generator() -> None:
    before = properties(definition(interactions_fingerprint="a", items_fingerprint="b"))
    after = properties(definition(interactions_fingerprint="c", items_fingerprint="b"))
    assert {node for node in before if before[node] != after[node]} == {"InteractionExampleGen"}
