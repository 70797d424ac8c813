"""A root that was moved, copied, thinned out or damaged says so, and `h2rec pipeline relocate` mends the first two."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import killed_runs
import pytest
from click.testing import CliRunner, Result
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from h2rec_tf.errors import InputError
from tfx_pipeline.cli import pipeline
from tfx_pipeline.runners.cache_keys import movable_cache_keys
from tfx_pipeline.runners.gone import mark_gone
from tfx_pipeline.runners.root import check_root


def command(*arguments: str) -> Result:
    return CliRunner().invoke(pipeline, arguments)


def opened(root: pathlib.Path) -> metadata_store.MetadataStore:
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(root / "metadata.db")
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return metadata_store.MetadataStore(connection)


def settings(root: pathlib.Path) -> str:
    return json.dumps({"kept": f"{root}/artifacts/checkpoints", "data": f"{root}-2/events.csv", "root": str(root)})


def made(root: pathlib.Path, models: int = 2) -> pathlib.Path:
    """A root with blessed models, as TFX leaves it."""
    root.mkdir()
    store = opened(root)
    run = mlmd.Context(type_id=store.put_context_type(mlmd.ContextType(name="pipeline_run")), name="run")
    trainer = mlmd.Execution(type_id=store.put_execution_type(mlmd.ExecutionType(name="Trainer")))
    trainer.last_known_state = mlmd.Execution.COMPLETE
    trainer.custom_properties["custom_config"].string_value = settings(root)
    kinds = {
        name: store.put_artifact_type(mlmd.ArtifactType(name=name)) for name in ("Model", "ModelBlessing", "Examples")
    }
    for number in range(1, models + 1):
        model = artifact(root, kinds["Model"], f"Trainer/model/{number}")
        model.custom_properties["previous"].string_value = f"{root}/artifacts/Trainer/model/0"
        (model.id,) = store.put_artifacts([model])
        blessing = artifact(root, kinds["ModelBlessing"], f"Evaluator/blessing/{number}")
        blessing.custom_properties["current_model_id"].int_value = model.id
        blessing.custom_properties["blessed"].int_value = 1
        store.put_artifacts([blessing])
    examples = artifact(root, kinds["Examples"], "ItemExampleGen/examples/1")
    store.put_execution(trainer, [(examples, mlmd.Event(type=mlmd.Event.OUTPUT))], [run])
    return root


def artifact(root: pathlib.Path, kind: int, place: str) -> mlmd.Artifact:
    (root / "artifacts" / place).mkdir(parents=True)
    return mlmd.Artifact(type_id=kind, uri=f"{root}/artifacts/{place}", state=mlmd.Artifact.LIVE)


def uris(root: pathlib.Path) -> list[str]:
    return [found.uri for found in opened(root).get_artifacts()]


@pytest.mark.parametrize("copied", [False, True])
def test_a_moved_or_copied_root_is_refused_until_relocated(tmp_path: pathlib.Path, copied: bool) -> None:
    old, new = made(tmp_path / "root"), tmp_path / "elsewhere" / "new"
    check_root(str(old))
    new.parent.mkdir()
    if copied:
        shutil.copytree(old, new)
    else:
        old.rename(new)
    before = (new / "metadata.db").read_bytes()
    remedy = f"h2rec pipeline relocate --root {new}"
    with pytest.raises(InputError, match=f"was moved or copied, its metadata still names {old}; run `{remedy}` once"):
        check_root(str(new))
    shown = command("status", "--root", str(new))
    assert shown.exception is None
    assert shown.stdout.splitlines()[-1].endswith(remedy)
    done = command("relocate", "--root", str(new))
    assert done.exception is None, done.exception
    # Five artifacts, the two models' properties, the Trainer's settings.
    assert done.stdout.startswith(f"rewrote 8 paths from {old} to {new}; as it was: {new}/metadata.db.")
    check_root(str(new))
    assert all(uri.startswith(f"{new}/artifacts/") and os.path.isdir(uri) for uri in uris(new))
    (execution,) = opened(new).get_executions()
    expected = json.loads(settings(new)) | {"data": f"{old}-2/events.csv"}
    assert json.loads(execution.custom_properties["custom_config"].string_value) == expected
    (backup,) = new.glob("metadata.db.*.backup")
    assert backup.read_bytes() == before
    assert command("relocate", "--root", str(new)).stdout == f"nothing to rewrite: the metadata speaks of {new}\n"
    if copied:
        assert all(uri.startswith(f"{old}/") for uri in uris(old))
        check_root(str(old))


def test_a_relocation_that_cannot_be_written_changes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "root").rename(tmp_path / "new")
    before = (tmp_path / "new" / "metadata.db").read_bytes()

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = command("relocate", "--root", str(tmp_path / "new"))
    assert isinstance(result.exception, InputError) and "No space left" in str(result.exception)
    assert (tmp_path / "new" / "metadata.db").read_bytes() == before


def test_lost_or_damaged_metadata_is_told_in_one_line(tmp_path: pathlib.Path) -> None:
    root = made(tmp_path / "root")
    path = root / "metadata.db"
    content = path.read_bytes()
    whole = command("status", "--root", str(root)).stdout
    damaged = [content[:length] for length in (1, 50, 100, 4096, 10_000, len(content) // 2, len(content) - 1)]
    damaged += [b"not a database, " * 300, content[:16] + b"\xff" * 200 + content[216:]]
    damaged += [
        content[:place] + b"\xa5" * 4096 + content[place + 4096 :] for place in range(0, len(content), 20 * 4096)
    ]
    for bad in damaged:
        path.write_bytes(bad)
        found = []
        for act in (lambda: check_root(str(root)), lambda: _raise(command("status", "--root", str(root)))):
            try:
                act()
            except InputError as error:
                found.append(str(error))
        if not found:
            # The damage lay in a page that holds nothing.
            assert command("status", "--root", str(root)).stdout == whole
            continue
        assert all(str(path) in line and "\n" not in line for line in found), found
        assert "delete it and" in found[0] or "put a copy" in found[0]
    for lost in ("is empty", "is missing"):
        path.write_bytes(b"") if lost == "is empty" else path.unlink()
        with pytest.raises(InputError, match=f"{path}: {lost}, but {root}/artifacts holds artifacts"):
            check_root(str(root))
    shutil.rmtree(root / "artifacts")
    check_root(str(root))


def _raise(result: Result) -> None:
    if result.exception is not None:
        raise result.exception


def test_a_blessed_model_that_was_deleted_counts_as_never_blessed(tmp_path: pathlib.Path) -> None:
    root = made(tmp_path / "root")
    gone = root / "artifacts" / "Trainer" / "model" / "2"
    gone.rename(tmp_path / "kept")
    shutil.rmtree(root / "artifacts" / "ItemExampleGen")
    shown = command("status", "--root", str(root))
    store = opened(root)
    lines = mark_gone(store, str(root))
    assert shown.stdout.splitlines()[-2:] == lines
    assert f"the blessed model {gone} is gone from the disk: it counts as never blessed" in lines[0]
    assert f"1 artifacts of earlier runs are gone from the disk, as {root}/artifacts/ItemExampleGen" in lines[1]
    # What TFX's resolvers look at.
    live = [found.uri for found in store.get_artifacts() if found.state == mlmd.Artifact.LIVE and found.type == "Model"]
    assert live == [str(gone.with_name("1"))]
    assert mark_gone(store, str(root)) == []
    (tmp_path / "kept").rename(gone)
    assert mark_gone(store, str(root)) == []
    assert sum(found.state == mlmd.Artifact.LIVE for found in store.get_artifacts()) == 4


@pytest.mark.parametrize("root", ["/data/root", "/data/Lädchen"])
def test_cache_keys_do_not_say_where_the_root_is(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfx.orchestration.portable import cache_utils
    from tfx.proto.orchestration import pipeline_pb2
    from tfx.types import standard_artifacts

    def key(root: str, name: str) -> str:
        names: list[str] = []
        monkeypatch.setattr(
            cache_utils.context_lib,
            "register_context_if_not_exists",
            lambda metadata_handle, context_type_name, context_name: names.append(context_name),
        )
        model = standard_artifacts.Model()
        model.uri = f"{root}/artifacts/Trainer/model/{name}"
        model.set_string_custom_property("pushed_destination", f"{root}/serving/1")
        with movable_cache_keys(root):
            cache_utils.get_cache_context(
                metadata_handle=None,
                pipeline_node=pipeline_pb2.PipelineNode(),
                pipeline_info=pipeline_pb2.PipelineInfo(id="h2rec"),
                input_artifacts={"model": [model]},
                parameters={
                    "input_base": root,
                    "root": f"{root}/artifacts",
                    "config": json.dumps({"kept": f"{root}/kept"}),
                    "seed": 1,
                },
            )
        return names[0]

    assert key(root, "1") == key("/somewhere", "1") != key(root, "2")


_RUNS = """
import json, os, pathlib, shutil, sys
import killed_runs
from h2rec_tf.errors import InputError
from tfx_pipeline.runners.root import check_root, relocate

first, moved, copied = (pathlib.Path(sys.argv[1]) / name for name in ("root", "moved", "copied"))
shutil.copytree(sys.argv[2], first)
found = [killed_runs.run(first)]
first.rename(moved)
relocate(str(moved))
found.append(killed_runs.run(moved))
shutil.copytree(moved, copied)
shutil.rmtree(moved)
relocate(str(copied))
found.append(killed_runs.run(copied))
(path,) = (copied / "artifacts/ItemExampleGen/examples/1/Split-items").iterdir()
content = path.read_bytes()
path.write_bytes(content[:-4])
try:
    killed_runs.run(copied)
except InputError as error:
    found.append(str(error))
path.write_bytes(content)
(copied / "artifacts/ItemExampleGen/examples/1.files.json").unlink()
found.append(killed_runs.run(copied))
print(json.dumps([step if isinstance(step, str) else step["cached"] for step in found]))
"""


# Slow: TFX, and five runs of six components.
@pytest.mark.slow
def test_runs_go_on_from_the_cache_of_a_moved_and_of_a_copied_root(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    killed_runs.write_data(data)
    paths = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1]), *sys.path]
    result = subprocess.run(
        [sys.executable, "-c", _RUNS, str(tmp_path), str(data)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, moved, copied, refused, remade = json.loads(result.stdout.splitlines()[-1])
    assert not any(first.values())
    assert all(moved.values()), moved
    assert all(copied.values()), copied
    place = tmp_path / "copied" / "artifacts" / "ItemExampleGen" / "examples" / "1"
    assert refused.startswith(f"ItemExampleGen: {place}/Split-items/")
    assert refused.endswith(f" were written; delete {place} and run again, it is made anew")
    # Without a record nobody can tell, so it is made anew.
    assert not remade["ItemExampleGen"]
