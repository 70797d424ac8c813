"""SemanticIdGen on one root, run after run: codes stay, churn is recorded, bad codebooks are refused."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.types.channel_utils import as_channel

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Catalogue, catalogue_order
from h2rec_tf.errors import InputError
from h2rec_tf.semantic_ids import SemanticIds as LoadedSemanticIds
from tfx_pipeline import SemanticIds
from tfx_pipeline.components.semantic_id_gen import SemanticIdGen, SemanticIdGenExecutor
from tfx_pipeline.examples import encode_items

SMALL = {"quantizer.levels": 2, "quantizer.codes": 4, "quantizer.iterations": 5, "codebooks.max_collision_rate": 1.0}


def items(folder: pathlib.Path, numbers: range, width: int = 6) -> standard_artifacts.Examples:
    """Item examples, each with its own vector."""
    ids = [f"item-{number}" for number in numbers]
    order = catalogue_order(ids)
    vectors = np.stack([np.random.default_rng(number).normal(size=width) for number in numbers]).astype(np.float32)
    names = np.asarray(ids, object)[order]
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / f"items-{numbers.start}-{numbers.stop}-{width}")
    artifact.split_names = '["items"]'
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(artifact, "tfrecords_gzip")
    path = pathlib.Path(artifact.uri, "Split-items")
    path.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path / "data.gz"), "GZIP") as writer:
        for batch in encode_items(Catalogue(names, names, names, vectors[order])):
            for example in batch:
                writer.write(example)
    return artifact


class Root:
    """A pipeline's root with numbered runs."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.runs = 0

    def run(self, examples: standard_artifacts.Examples, **changes: Any) -> SemanticIds:
        self.runs += 1
        sections = Config().replace(**{**SMALL, **changes}).to_dict()
        component = SemanticIdGen(
            items=as_channel([examples]),
            root=str(self.folder),
            text=sections["text"],
            quantizer=sections["quantizer"],
            codebooks=sections["codebooks"],
            seed=0,
        )
        artifact = SemanticIds()
        artifact.uri = str(self.folder / "SemanticIdGen" / "semantic_ids" / str(self.runs))
        pathlib.Path(artifact.uri).mkdir(parents=True)
        SemanticIdGenExecutor().Do({"items": [examples]}, {"semantic_ids": [artifact]}, dict(component.exec_properties))
        return artifact


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Root:
    return Root(tmp_path)


def test_codes_stay_and_churn_is_recorded(root: Root) -> None:
    first = root.run(items(root.folder, range(40)))
    assert first.get_int_custom_property("refit") == 1
    assert first.get_string_custom_property("previous") == ""
    # A later run that was killed while it wrote has nothing to say.
    half = root.folder / "SemanticIdGen" / "semantic_ids" / "9"
    half.mkdir()
    (half / "codes.npy").touch()
    second = root.run(items(root.folder, range(5, 50)))
    assert second.get_string_custom_property("previous") == first.uri
    figures = {
        name: second.get_int_custom_property(name)
        for name in ("refit", "items", "items_kept", "items_new", "items_removed", "items_with_new_codes")
    }
    assert figures == {
        "refit": 0,
        "items": 45,
        "items_kept": 35,
        "items_new": 10,
        "items_removed": 5,
        "items_with_new_codes": 0,
    }
    assert second.get_float_custom_property("churn") == 0.0
    update = json.loads(pathlib.Path(second.uri, "update.json").read_text())
    assert (update["churn"], update["kept"]) == (0.0, 35)
    np.testing.assert_array_equal(
        LoadedSemanticIds.load(first.uri).codebooks, LoadedSemanticIds.load(second.uri).codebooks
    )


def test_another_vector_width_fits_anew_and_says_so(root: Root) -> None:
    root.run(items(root.folder, range(30)))
    artifact = root.run(items(root.folder, range(30), width=9))
    assert artifact.get_int_custom_property("refit") == 1
    assert artifact.get_string_custom_property("refit_reason") == "vectors have 9 numbers, not 6"
    assert artifact.get_float_custom_property("churn") > 0


def test_refused_codebooks_leave_nothing(root: Root) -> None:
    examples = items(root.folder, range(40))
    with pytest.raises(InputError, match=r"codebooks refused: .*max_collision_rate allows 1\.0%"):
        root.run(examples, **{"codebooks.max_collision_rate": 0.01})
    assert not list((root.folder / "SemanticIdGen" / "semantic_ids" / "1").iterdir())
    assert root.run(examples).get_string_custom_property("previous") == ""


def test_a_damaged_file_of_items_is_named(root: Root) -> None:
    examples = items(root.folder, range(40))
    path = pathlib.Path(examples.uri, "Split-items", "data.gz")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"data\.gz: damaged TFRecord file .*delete .*items-0-40-6 and run again"):
        root.run(examples)
