"""Runs of the ExampleGens' executors, and what they and the library's loader give in one comparable form."""

from __future__ import annotations

import json
import pathlib
import uuid
from typing import Any

import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts
from tfx.types.channel_utils import as_channel

from h2rec_tf import names
from h2rec_tf.config import Config, DataConfig
from h2rec_tf.data.sequences import Catalogue, Dataset, Sequences
from tfx_pipeline.components.interaction_example_gen import InteractionExampleGenExecutor, interaction_example_gen
from tfx_pipeline.components.item_example_gen import ItemExampleGenExecutor, item_example_gen

# The image that no local runner uses keeps TFX from packing itself up.
DIRECT = ["--direct_running_mode=in_memory", "--direct_num_workers=1", "--sdk_container_image=none"]

Row = tuple[str, tuple[str, ...], tuple[int, ...], str]


def run(executor: type, component: Any, inputs: dict[str, list], folder: pathlib.Path) -> standard_artifacts.Examples:
    """Runs an executor as TFX would, with the component's own parameters; the artifact is at `folder/examples`."""
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=DIRECT, tmp_dir=str(folder / f"tmp-{uuid.uuid4().hex}"), unique_id="1"
    )
    output = standard_artifacts.Examples()
    output.uri = str(folder / "examples")
    executor(context).Do(inputs, {"examples": [output]}, dict(component.exec_properties))
    return output


def items_artifact(
    path: pathlib.Path | str, folder: pathlib.Path, *, embeddings: str = "", **changes: Any
) -> standard_artifacts.Examples:
    """Item examples of a file."""
    data = Config().replace(**{f"data.{key}": value for key, value in changes.items()}).to_dict()["data"]
    component = item_example_gen(items=str(path), embeddings=embeddings, data=data, fingerprint="")
    return run(ItemExampleGenExecutor, component, {}, folder / "item-examples")


def ingest(
    source: str, items: standard_artifacts.Examples, config: DataConfig, folder: pathlib.Path
) -> standard_artifacts.Examples:
    """User examples of a source."""
    data = Config(data=config).to_dict()["data"]
    component = interaction_example_gen(interactions=source, items=as_channel([items]), data=data, fingerprint="")
    output = folder if not (folder / "examples" / "rejected").exists() else folder / uuid.uuid4().hex
    return run(InteractionExampleGenExecutor, component, {"items": [items]}, output)


def read(artifact: standard_artifacts.Examples, split: str) -> list[dict[str, list]]:
    """Features of all examples of a split."""
    rows = []
    files = sorted(str(path) for path in pathlib.Path(artifact.uri, f"Split-{split}").glob("*.gz"))
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        rows.append({name: list(getattr(value, value.WhichOneof("kind")).value) for name, value in features.items()})
    return rows


def read_rejected(artifact: standard_artifacts.Examples) -> list[dict[str, Any]]:
    """The rejected rows of an artifact."""
    return [
        json.loads(line)
        for path in sorted(pathlib.Path(artifact.uri, "rejected").glob("*"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def written_rows(artifact: standard_artifacts.Examples) -> dict[str, list[Row]]:
    """Split -> (user, history, times, target) of each example, sorted."""
    return {
        split: sorted(
            (
                row["user_id"][0].decode(),
                tuple(item.decode() for item in row["history"]),
                tuple(row.get("timestamps", ())),
                row["target"][0].decode() if "target" in row else "",
            )
            for row in read(artifact, split)
        )
        for split in names.SPLITS
    }


def loader_rows(dataset: Dataset) -> dict[str, list[Row]]:
    """The same of what the library loaded."""
    parts = {
        names.TRAIN: (dataset.train, [""] * len(dataset.train)),
        names.VALIDATION: (dataset.validation.histories, _ids(dataset.catalogue, dataset.validation.targets)),
        names.TEST: (dataset.test.histories, _ids(dataset.catalogue, dataset.test.targets)),
    }
    return {split: sorted(_rows(dataset.catalogue, *part)) for split, part in parts.items()}


def _ids(catalogue: Catalogue, items: Any) -> list[str]:
    return [catalogue.item_ids[item - 1] for item in items.tolist()]


def _rows(catalogue: Catalogue, histories: Sequences, targets: list[str]) -> list[Row]:
    times = histories.timestamps
    return [
        (
            histories.user_ids[row],
            tuple(_ids(catalogue, histories.history(row))),
            () if times is None else tuple(times[histories.offsets[row] : histories.offsets[row + 1]].tolist()),
            targets[row],
        )
        for row in range(len(histories))
    ]
