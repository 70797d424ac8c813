"""TFX's Pusher with what a servable needs beside the model, written so that a server never sees half of it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow as tf
from tfx import types
from tfx.components.pusher import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, json_utils, proto_utils

from h2rec_tf.atomic import atomic_directory
from h2rec_tf.index.scann_index import MANIFEST_FILE
from h2rec_tf.models.store import SEMANTIC_IDS_DIR
from h2rec_tf.semantic_ids import TITLES_FILE
from tfx_pipeline import constants
from tfx_pipeline.artifacts import IndexBlessing, ItemIndex
from tfx_pipeline.components.evaluation_results import EvaluationResults
from tfx_pipeline.components.index_builder import catalogue_ids
from tfx_pipeline.components.index_evaluator import BLESSED
from tfx_pipeline.components.model_files import saved_model_dir, trained_dir
from tfx_pipeline.constants import is_remote
from tfx_pipeline.model_card import model_card, write_card
from tfx_pipeline.records import facts
from tfx_pipeline.storage import on_local_artifacts
from tfx_pipeline.warmup import warmup_requests

# Written by TensorFlow into every SavedModel; its random id tells two saves apart.
_FINGERPRINT_FILE = "fingerprint.pb"
_SAVED_MODEL_FILE = "saved_model.pb"
_WARMUP_ITEMS = 5


class NewestPusherSpec(standard_component_specs.PusherSpec):
    """Pusher's spec with the index, its blessing and the evaluation."""

    INPUTS: ClassVar[dict[str, Any]] = {
        **standard_component_specs.PusherSpec.INPUTS,
        constants.INDEX: component_spec.ChannelParameter(type=ItemIndex, optional=True),
        constants.INDEX_BLESSING: component_spec.ChannelParameter(type=IndexBlessing, optional=True),
        constants.EVALUATION: component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
    }


class NewestPusherExecutor(executor.Executor):
    """Pushes what all validators blessed, unless the newest version at the destination is that very model and index."""

    def CheckBlessing(self, input_dict: dict[str, list[types.Artifact]]) -> bool:
        """Whether the model, its infrastructure where that was judged, and its index are blessed.

        What was not judged is not pushed: a model or an index without a blessing counts as refused.
        """
        if not input_dict.get(standard_component_specs.MODEL_BLESSING_KEY):
            return False
        blessings = input_dict.get(constants.INDEX_BLESSING) or []
        if input_dict.get(constants.INDEX) and not blessings:
            return False
        if not all(blessing.get_int_custom_property(BLESSED) for blessing in blessings):
            return False
        return super().CheckBlessing(input_dict)

    @on_local_artifacts
    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes, or records the version that is there already."""
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        base = destination.filesystem.base_directory
        model = saved_model_dir(input_dict[standard_component_specs.MODEL_KEY])
        version_dir = newest_version(base)
        if not version_dir or not _same_servable(version_dir, model, input_dict.get(constants.INDEX)):
            version_dir = os.path.join(base, _next_version(base))
            with _appearing(version_dir) as folder:
                _write_servable(folder, os.path.basename(version_dir), model, input_dict)
        io_utils.copy_dir(version_dir, pushed.uri)
        self._MarkPushed(pushed, pushed_destination=version_dir, pushed_version=os.path.basename(version_dir))


class NewestPusher(base_component.BaseComponent):
    """Makes a blessed model the newest version of a directory of versions.

    A version is the SavedModel and in `assets.extra/` the requests that TensorFlow Serving warms up with, the model
    card, the items' titles and the index. Run it without TFX's cache: whether there is something to push depends on the
    directory as well.

    Outputs:
        pushed_model: the servable, with the version's directory as `pushed_destination`.
    """

    SPEC_CLASS = NewestPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(NewestPusherExecutor)

    def __init__(
        self,
        *,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        push_destination: pusher_pb2.PushDestination,
        evaluation: types.BaseChannel | None = None,
        index: types.BaseChannel | None = None,
        index_blessing: types.BaseChannel | None = None,
        infra_blessing: types.BaseChannel | None = None,
    ):
        """Args:
        model: from the Trainer.
        model_blessing: from the Evaluator.
        push_destination: the directory of versions.
        evaluation: from the Evaluator; its metrics go into the model card.
        index: from IndexBuilder.
        index_blessing: from IndexEvaluator.
        infra_blessing: from InfraValidator.
        """
        spec = NewestPusherSpec(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            evaluation=evaluation,
            index=index,
            index_blessing=index_blessing,
            push_destination=push_destination,
            custom_config=json_utils.dumps(None),
            pushed_model=types.Channel(type=standard_artifacts.PushedModel),
        )
        super().__init__(spec=spec)


def newest_version(directory: str) -> str:
    """The complete version with the highest number, or ""."""
    complete = [
        name for name in _versions(directory) if fileio.exists(os.path.join(directory, name, _SAVED_MODEL_FILE))
    ]
    return os.path.join(directory, max(complete, key=int)) if complete else ""


def _versions(directory: str) -> list[str]:
    # Object stores list folders with a closing slash.
    entries = [name.rstrip("/") for name in fileio.listdir(directory)] if fileio.isdir(directory) else []
    return [name for name in entries if name.isdigit()]


def _next_version(directory: str) -> str:
    """The second since 1970, or one more than the highest there is, so that the new one is the newest."""
    return str(max([int(time.time()), *(int(name) + 1 for name in _versions(directory))]))


@contextlib.contextmanager
def _appearing(version_dir: str) -> Iterator[pathlib.Path]:
    """A folder to write to that becomes `version_dir` whole when the block ends well.

    On a local disk that is one rename. An object store has none; there `saved_model.pb`, which servers wait for, is
    copied last.
    """
    if not is_remote(version_dir):
        for left in pathlib.Path(version_dir).parent.glob(".*-*"):
            # Of a push that was killed; its name is `.VERSION-RANDOM`.
            if left.name[1:].partition("-")[0].isdigit():
                shutil.rmtree(left)
        with atomic_directory(version_dir) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "servable"
        folder.mkdir()
        yield folder
        io_utils.copy_dir(str(folder), version_dir, deny_regex_patterns=[r"saved_model\.pb"])
        io_utils.copy_file(str(folder / _SAVED_MODEL_FILE), os.path.join(version_dir, _SAVED_MODEL_FILE))


def _write_servable(
    folder: pathlib.Path, version: str, model: str, input_dict: dict[str, list[types.Artifact]]
) -> None:
    # `copy_dir` replaces its target, so the SavedModel comes first.
    io_utils.copy_dir(model, str(folder))
    extra = folder / constants.EXTRA_DIR
    extra.mkdir(exist_ok=True)
    models = input_dict[standard_component_specs.MODEL_KEY]
    item_ids = catalogue_ids(models).tolist()
    titles = json.loads(_read(os.path.join(trained_dir(models), SEMANTIC_IDS_DIR, TITLES_FILE)))
    with open(extra / constants.ITEMS_FILE, "w", encoding="utf-8") as file:
        for item_id, title in zip(item_ids, titles, strict=True):
            file.write(json.dumps({"item_id": item_id, "title": title}, ensure_ascii=False) + "\n")
    index = input_dict.get(constants.INDEX)
    figures = None
    if index:
        io_utils.copy_dir(artifact_utils.get_single_uri(index), str(extra / constants.INDEX_DIR))
        blessings = input_dict.get(constants.INDEX_BLESSING)
        if blessings:
            figures = json.loads(_read(os.path.join(blessings[0].uri, constants.INDEX_REPORT_FILE)))
    evaluation = input_dict.get(constants.EVALUATION)
    results = EvaluationResults.load(artifact_utils.get_single_uri(evaluation)) if evaluation else None
    card = model_card(
        trained=trained_dir(models),
        metrics=results.metrics if results else {},
        baselines=results.baselines.verdict if results else None,
        index=figures,
        version=version,
    )
    write_card(card, extra)
    with tf.io.TFRecordWriter(str(extra / constants.WARMUP_FILE)) as writer:
        for request in warmup_requests(str(folder), item_ids[:_WARMUP_ITEMS]):
            writer.write(request)


def _same_servable(version_dir: str, model: str, index: list[types.Artifact] | None) -> bool:
    # The file that tells them apart, and the directories that were copied.
    parts = [(version_dir, model, _FINGERPRINT_FILE)]
    if index:
        there = os.path.join(version_dir, constants.EXTRA_DIR, constants.INDEX_DIR)
        parts.append((there, artifact_utils.get_single_uri(index), MANIFEST_FILE))
    return all(
        fileio.exists(os.path.join(there, telling))
        and fileio.exists(os.path.join(source, telling))
        and _read(os.path.join(there, telling)) == _read(os.path.join(source, telling))
        # A version of which a part was lost or damaged is not what was pushed.
        and _holds(there, source)
        for there, source, telling in parts
    )


def _holds(directory: str, source: str) -> bool:
    """Whether a directory has all files of another one, as far as sizes and checksums tell."""
    there = facts(directory)
    for name, (size, digest) in facts(source).items():
        found = there.get(name)
        if found is None or found[0] != size or (found[1] and digest and found[1] != digest):
            return False
    return True


def _read(path: str) -> bytes:
    with fileio.open(path, "rb") as file:
        return file.read()
