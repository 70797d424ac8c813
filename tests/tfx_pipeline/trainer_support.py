"""The Trainer's executor on small artifacts, in this process or in one that is to be killed."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import tensorflow as tf
from pipeline_support import example
from support import holdout_of, random_sequences, tiny_config
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from h2rec_tf.data.sequences import Sequences
from h2rec_tf.semantic_ids import SemanticIds
from tfx_pipeline.artifacts import SemanticIds as SemanticIdsArtifact
from tfx_pipeline.components.trainer import SequenceTrainerExecutor
from tfx_pipeline.pipeline import RUN_FN

EPOCHS = 4
# The smallest graph: what is tested here does not depend on the branches.
SMALL = {
    "model.branches": "hid",
    "loss.item_alignment": 0.0,
    "loss.user_alignment": 0.0,
    "training.epochs": EPOCHS,
    "training.learning_rate": 0.01,
}


def at(artifact: Artifact, path: pathlib.Path | str) -> list[Artifact]:
    """The artifact alone in a list, placed at `path`."""
    artifact.uri = str(path)
    return [artifact]


def write_examples(folder: pathlib.Path, *, seed: int = 0, items: int) -> None:
    """Transformed training and validation examples in TFX's layout."""
    train, held_out = random_sequences(num_items=items, seed=seed), holdout_of(random_sequences(seed=seed + 1))
    splits = {"train": _rows(train), "validation": _rows(held_out.histories, held_out.targets.tolist())}
    for split, rows in splits.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "data.gz"), "GZIP") as writer:
            for row in rows:
                writer.write(row)


def _rows(sequences: Sequences, targets: list[int] | None = None) -> list[bytes]:
    return [
        example(
            user_id=[f"u{row:03d}"],
            history_index=sequences.history(row).tolist(),
            target_index=[] if targets is None else [targets[row]],
        )
        for row in range(len(sequences))
    ]


def train(
    folder: pathlib.Path | str,
    run: str,
    *,
    examples: str = "examples",
    base: pathlib.Path | None = None,
    hyperparameters: dict[str, Any] | None = None,
) -> pathlib.Path:
    """Runs the executor with artifacts under `folder`; outputs go to `folder/run`, as a new execution has new ones.

    `folder`, which may be a URI, holds `examples`, `graph` and `semantic_ids`. Returns the directory of the outputs.
    """
    examples_artifact = standard_artifacts.Examples()
    examples_artifact.split_names = '["train", "validation"]'
    inputs = {
        "examples": at(examples_artifact, f"{folder}/{examples}"),
        "transform_graph": at(standard_artifacts.TransformGraph(), f"{folder}/graph"),
        "semantic_ids": at(SemanticIdsArtifact(), f"{folder}/semantic_ids"),
    }
    if base is not None:
        inputs["base_model"] = at(standard_artifacts.Model(), base)
    if hyperparameters is not None:
        found = pathlib.Path(folder, run, "hyperparameters")
        found.mkdir(parents=True)
        (found / "best_hyperparameters.txt").write_text(json.dumps(hyperparameters))
        inputs["hyperparameters"] = at(standard_artifacts.HyperParameters(), found)
    outputs = {
        "model": at(standard_artifacts.Model(), f"{folder}/{run}/model"),
        "model_run": at(standard_artifacts.ModelRun(), f"{folder}/{run}/model_run"),
    }
    for artifacts in outputs.values():
        fileio.makedirs(artifacts[0].uri)
    config = tiny_config(**SMALL).to_dict()
    sections = {key: config[key] for key in ("model", "loss", "training", "evaluation", "serving")}
    properties = {
        "run_fn": RUN_FN,
        "train_args": '{"splits": ["train"]}',
        "eval_args": '{"splits": ["validation"]}',
        "custom_config": json.dumps({"config": sections, "checkpoints": f"{folder}/checkpoints"}),
    }
    SequenceTrainerExecutor().Do(inputs, outputs, properties)
    return pathlib.Path(folder, run)


def save_semantic_ids(semantic_ids: SemanticIds, folder: pathlib.Path) -> None:
    """Puts them where `train` looks."""
    semantic_ids.save(str(folder / "semantic_ids"))
