"""The pipeline's nodes and wiring; nothing runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2
from tfx.utils import proto_utils

from h2rec_tf.config import Config
from tfx_pipeline.pipeline import create_pipeline


def definition(config: Config | None = None, **changes: Any) -> Pipeline:
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
        "WarmStartResolver",
        "Evaluator",
        "IndexBuilder",
        "IndexEvaluator",
        "ReportGen",
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
        # A warm start depends on what the present examples are: models trained on them are passed over.
        ("WarmStartResolver", {"Transform"}),
        ("Trainer", {"Transform", "SemanticIdGen", "WarmStartResolver"}),
        # Baselines are fitted on transformed examples.
        ("Evaluator", {"InteractionExampleGen", "Transform", "Trainer", "BaselineResolver"}),
        ("IndexEvaluator", {"Trainer", "Transform", "IndexBuilder"}),
        ("ReportGen", {"Trainer", "Transform", "Evaluator", "IndexEvaluator"}),
        ("Pusher", {"Trainer", "Evaluator", "IndexBuilder", "IndexEvaluator"}),
    ],
)
def test_upstream_nodes(node: str, upstream: set[str]) -> None:
    nodes = {component.id: component for component in definition().components}
    assert {component.id for component in nodes[node].upstream_nodes} == upstream


@pytest.mark.parametrize(
    ("change", "nodes"),
    [
        ({"gate.max_relative_drop": 0.5}, {"Evaluator"}),
        ({"gate.baselines": ["popularity"]}, {"Evaluator"}),
        ({"gate.max_tail_loss": 0.5}, {"Evaluator"}),
        ({"training.learning_rate": 0.1}, {"Trainer"}),
        ({"quantizer.levels": 2}, {"SemanticIdGen"}),
        ({"codebooks.max_dead_codes": 0.1}, {"SemanticIdGen"}),
        ({"validation.max_drift": 0.5}, {"ExampleValidator"}),
        ({"data.spans": 7}, {"InteractionExampleGen"}),
        ({"data.split": "temporal"}, {"InteractionExampleGen"}),
        ({"data.title_column": "name"}, {"ItemExampleGen"}),
        ({"evaluation.ks": [3]}, {"Trainer", "Evaluator"}),
        ({"gate.slices": {"tail": {"max_relative_drop": 0.01}}}, {"Evaluator"}),
        ({"index.kind": "brute"}, {"IndexBuilder", "IndexEvaluator"}),
        # A limit is no reason to build anew.
        ({"index.target_recall": 0.5, "index.max_p99_ms": 5.0}, {"IndexEvaluator"}),
    ],
)
def test_a_setting_touches_only_the_nodes_that_read_it(change: dict[str, object], nodes: set[str]) -> None:
    before, after = properties(definition()), properties(definition(Config().replace(**change)))
    assert {node for node in before if before[node] != after[node]} == nodes


def test_changed_file_content_touches_its_generator() -> None:
    before = properties(definition(interactions_fingerprint="a", items_fingerprint="b"))
    after = properties(definition(interactions_fingerprint="c", items_fingerprint="b"))
    assert {node for node in before if before[node] != after[node]} == {"InteractionExampleGen"}


def test_a_tuner_stands_before_the_trainer_where_it_is_asked_for() -> None:
    tuned = {node.id: node for node in definition(Config().replace(**{"tuner.enabled": True})).components}
    assert {node.id for node in tuned["Tuner"].upstream_nodes} == {"Transform", "SemanticIdGen"}
    assert tuned["Tuner"] in tuned["Trainer"].upstream_nodes


def test_the_pusher_waits_for_the_infra_validator_where_there_is_one() -> None:
    nodes = {node.id: node for node in definition(infra_validation=True).components}
    assert nodes["InfraValidator"] in nodes["Pusher"].upstream_nodes


@pytest.mark.parametrize(
    ("image", "name", "tags", "digests"),
    [
        ("tensorflow/serving:2.16.1", "tensorflow/serving", ["2.16.1"], []),
        ("registry:5000/h2rec-server", "registry:5000/h2rec-server", ["latest"], []),
        ("registry:5000/h2rec-server:1", "registry:5000/h2rec-server", ["1"], []),
        ("h2rec-server@sha256:ab", "h2rec-server", [], ["sha256:ab"]),
    ],
)
def test_the_infra_validator_starts_the_configured_image_at_the_given_daemon(
    image: str, name: str, tags: list[str], digests: list[str]
) -> None:
    config = Config().replace(**{"gate.infra_validation_image": image})
    nodes = {
        node.id: node
        for node in definition(config, infra_validation=True, docker_host="unix:///run/other.sock").components
    }
    spec = infra_validator_pb2.ServingSpec()
    proto_utils.json_to_proto(nodes["InfraValidator"].exec_properties["serving_spec"], spec)
    assert spec.tensorflow_serving.image_name == name
    assert (list(spec.tensorflow_serving.tags), list(spec.tensorflow_serving.digests)) == (tags, digests)
    assert spec.local_docker.client_base_url == "unix:///run/other.sock"
    # A model that no server loads is refused within minutes.
    limits = infra_validator_pb2.ValidationSpec()
    proto_utils.json_to_proto(nodes["InfraValidator"].exec_properties["validation_spec"], limits)
    assert 1 <= limits.num_tries * limits.max_loading_time_seconds <= 300


def test_stock_resolvers_and_no_warm_start_need_no_strategy_of_ours() -> None:
    nodes = {node.id: node for node in definition(stock_resolvers=True).components}
    assert "WarmStartResolver" not in nodes
    assert nodes["BaselineResolver"] in nodes["Trainer"].upstream_nodes
    cold = {node.id: node for node in definition(Config().replace(**{"training.warm_start": False})).components}
    assert "WarmStartResolver" not in cold
    assert {node.id for node in cold["Trainer"].upstream_nodes} == {"Transform", "SemanticIdGen"}
