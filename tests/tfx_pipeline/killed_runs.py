"""Run as a script: a pipeline up to the codes that is killed in the middle of each component, and then run again.

Prints a line of JSON for each step. A process that has not started TensorFlow forks, so that libraries load once.
"""

from __future__ import annotations

import json
import os
import pathlib
import pkgutil
import shutil
import signal
import sys
from typing import Any

import h2rec_tf  # noqa: F401
from h2rec_tf.config import Config

# Component -> module (or module:class) and function after whose second (or only) call the process dies.
KILLS = {
    "ItemExampleGen": ("tfx_pipeline.ingestion.items", "write_shard", 1),
    "InteractionExampleGen": ("tfx_pipeline.ingestion.shards", "write_shard", 2),
    "SchemaGen": ("tensorflow_data_validation", "write_schema_text", 1),
    "ExampleValidator": ("tfx_pipeline.components.example_validator", "_kept", 2),
    "SemanticIdGen": ("h2rec_tf.semantic_ids:SemanticIds", "save", 1),
}


class Quiet:
    """A runner's progress that keeps what was cached."""

    def __init__(self) -> None:
        self.cached: dict[str, bool] = {}

    def started(self, number: int, total: int, node_id: str) -> None:
        pass

    def finished(self, number: int, total: int, node_id: str, seconds: float, cached: bool) -> None:
        self.cached[node_id] = cached


def components(root: pathlib.Path) -> list[Any]:
    """The first components of the pipeline, wired as there."""
    from tfx.components import StatisticsGen

    from tfx_pipeline.components.example_validator import StrictExampleValidator
    from tfx_pipeline.components.interaction_example_gen import interaction_example_gen
    from tfx_pipeline.components.item_example_gen import item_example_gen
    from tfx_pipeline.components.schema_gen import SequenceSchemaGen
    from tfx_pipeline.components.semantic_id_gen import SemanticIdGen

    changes = {"quantizer.levels": 2, "quantizer.codes": 4, "codebooks.max_collision_rate": 1.0}
    changes |= {"codebooks.max_tuple_share": 1.0, "codebooks.max_code_share": 1.0}
    config = Config().replace(**changes).to_dict()
    artifacts = str(root / "artifacts")
    items = item_example_gen(items=str(root / "items.csv"), embeddings="", data=config["data"], fingerprint="")
    examples = interaction_example_gen(
        interactions=str(root / "events.csv"), items=items.outputs["examples"], data=config["data"], fingerprint=""
    )
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = SequenceSchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
    validator = StrictExampleValidator(
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        items=items.outputs["examples"],
        root=artifacts,
        limits=config["validation"],
    )
    semantic_ids = SemanticIdGen(
        items=items.outputs["examples"],
        root=artifacts,
        text=config["text"],
        quantizer=config["quantizer"],
        codebooks=config["codebooks"],
        seed=0,
    )
    semantic_ids.add_upstream_node(validator)
    nodes = [items, examples, statistics, schema, validator, semantic_ids]
    for node, name in ((schema, "SchemaGen"), (validator, "ExampleValidator")):
        node.with_id(name)
    return nodes


def run(root: pathlib.Path) -> dict[str, Any]:
    """Runs all components up to the codes."""
    from tfx.orchestration.metadata import sqlite_metadata_connection_config
    from tfx.orchestration.pipeline import Pipeline

    from tfx_pipeline.runners.local import LocalRunner, beam_pipeline_args

    part = Pipeline(
        pipeline_name="killed",
        pipeline_root=str(root / "artifacts"),
        components=components(root),
        enable_cache=True,
        metadata_connection_config=sqlite_metadata_connection_config(str(root / "metadata.db")),
        beam_pipeline_args=beam_pipeline_args(),
    )
    progress = Quiet()
    runner = LocalRunner(progress)
    runner.run(part)
    files = {
        node: sorted(
            str(path.relative_to(artifact.uri))
            for artifacts in made.outputs.values()
            for artifact in artifacts
            for path in pathlib.Path(artifact.uri).rglob("*")
            if path.is_file()
        )
        for node, made in runner.runs.items()
    }
    return {"cached": progress.cached, "files": files}


def kill_in(component: str) -> None:
    """From now on the process dies in the middle of the component."""
    name, function, calls = KILLS[component]
    owner = pkgutil.resolve_name(name)
    original = getattr(owner, function)
    left = [calls]

    def killed(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, function, killed)


def forked(root: pathlib.Path, component: str) -> dict[str, Any]:
    """Runs in a child, killed in the component if one is named."""
    result = root / "result.json"
    result.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        try:
            if component:
                kill_in(component)
            result.write_text(json.dumps(run(root)))
        except BaseException as error:
            result.write_text(json.dumps({"error": repr(error)}))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    outcome = json.loads(result.read_text()) if result.exists() else {}
    return {"killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, **outcome}


def write_data(root: pathlib.Path) -> None:
    """The files that the components read."""
    ids = [f"item-{number}" for number in range(12)]
    (root / "items.csv").write_text("\n".join(["item_id,title", *(f"{item},Title of {item}" for item in ids)]) + "\n")
    rows = [f"u{user},{ids[(user + step * 5) % 12]},{step}" for user in range(9) for step in range(5)]
    (root / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")


def main(root: pathlib.Path) -> None:
    """Kills in each component, one run after another on one root; a whole run, one more, and one without the items."""
    import tfx_pipeline.pipeline
    import tfx_pipeline.runners.local  # noqa: F401

    write_data(root)
    for component in [*KILLS, "", ""]:
        print(json.dumps(forked(root, component)), flush=True)
    for directory in (root / "artifacts" / "ItemExampleGen" / "examples").glob("*[0-9]"):
        shutil.rmtree(directory)
    print(json.dumps(forked(root, "")), flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
