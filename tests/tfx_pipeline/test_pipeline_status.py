"""`h2rec pipeline status`, from metadata that TFX's own library wrote and from a Vertex AI job."""

from __future__ import annotations

import pathlib

import pytest
from click.testing import CliRunner, Result
from fake_vertex import PARENT, PROJECT, REGION, FakeVertex
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from h2rec_tf.errors import InputError
from tfx_pipeline.cli import pipeline


def status(*flags: str) -> Result:
    return CliRunner().invoke(pipeline, ["status", *flags])


def recorded(root: pathlib.Path) -> None:
    """Two runs; in the second the Trainer failed after a cached Transform, and the Evaluator blessed before."""
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(root / "metadata.db")
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = metadata_store.MetadataStore(connection)
    run_type = store.put_context_type(mlmd.ContextType(name="pipeline_run"))
    node_type = store.put_context_type(mlmd.ContextType(name="node"))
    blessing = store.put_artifact_type(mlmd.ArtifactType(name="ModelBlessing"))
    index_blessing = store.put_artifact_type(mlmd.ArtifactType(name="tfx_pipeline.IndexBlessing"))
    pushed = store.put_artifact_type(mlmd.ArtifactType(name="PushedModel"))
    states = mlmd.Execution
    for run, nodes in (
        ("first", [("Transform", states.COMPLETE)]),
        (
            "second",
            [
                ("BaselineResolver", states.COMPLETE),
                ("Transform", states.CACHED),
                ("Evaluator", states.COMPLETE),
                ("IndexEvaluator", states.COMPLETE),
                ("Pusher", states.COMPLETE),
            ],
        ),
    ):
        context = mlmd.Context(type_id=run_type, name=run)
        for node, state in nodes:
            execution = mlmd.Execution(
                type_id=store.put_execution_type(mlmd.ExecutionType(name=f"tfx.{node}")), last_known_state=state
            )
            artifacts = []
            if node in ("BaselineResolver", "Evaluator"):
                artifacts = [mlmd.Artifact(type_id=blessing, uri="b")]
                artifacts[0].custom_properties["blessed"].int_value = 1
            if node == "IndexEvaluator":
                artifacts = [mlmd.Artifact(type_id=index_blessing, uri="i")]
                artifacts[0].custom_properties["blessed"].int_value = 0
                artifacts[0].custom_properties["reasons"].string_value = "recall@100 0.4 is below 0.98"
            if node == "Pusher":
                artifacts = [mlmd.Artifact(type_id=pushed, uri="p")]
                artifacts[0].custom_properties["pushed"].int_value = 1
                artifacts[0].custom_properties["pushed_destination"].string_value = "/serving/7"
            pairs = [(artifact, mlmd.Event(type=mlmd.Event.OUTPUT)) for artifact in artifacts]
            contexts = [context, mlmd.Context(type_id=node_type, name=f"h2rec.{node}")]
            store.put_execution(execution, pairs, contexts, reuse_context_if_already_exist=True)


def test_shows_the_last_runs_nodes_blessing_and_push(tmp_path: pathlib.Path) -> None:
    recorded(tmp_path)
    result = status("--root", str(tmp_path))
    assert result.exception is None, result.exception
    lines = result.stdout.splitlines()
    assert lines[0] == "run second"
    rows = [line.split() for line in lines[2:-3]]
    assert [row[:2] for row in rows if len(row) > 1 and row[0][0].isalpha()] == [
        ["BaselineResolver", "complete"],
        ["Transform", "cached"],
        ["Evaluator", "complete"],
        ["IndexEvaluator", "complete"],
        ["Pusher", "complete"],
    ]
    assert lines[-3:] == [
        "Evaluator: blessed",
        "IndexEvaluator: not blessed: recall@100 0.4 is below 0.98",
        "Pusher: pushed /serving/7",
    ]


def test_shows_a_jobs_tasks_and_its_error(vertex_server: FakeVertex) -> None:
    name = f"{PARENT}/pipelineJobs/run-1"
    vertex_server.resources[name] = {
        "name": name,
        "state": "PIPELINE_STATE_FAILED",
        "error": {"code": 9, "message": "The DAG failed."},
        "jobDetail": {
            "taskDetails": [
                {
                    "taskName": "Trainer",
                    "state": "FAILED",
                    "startTime": "2024-01-01T00:01:00Z",
                    "endTime": "2024-01-01T00:02:30Z",
                    "error": {"code": 9, "message": "Out of memory."},
                },
                {"taskName": "Transform", "state": "SKIPPED", "startTime": "2024-01-01T00:00:00Z"},
            ]
        },
    }
    result = status("--job", "run-1", "--project", PROJECT, "--region", REGION)
    assert result.exception is None, result.exception
    words = [line.split() for line in result.stdout.splitlines()]
    assert ["Transform", "cached"] in words
    assert ["Trainer", "failed", "90.0"] in words
    assert result.stdout.splitlines()[-3:] == ["job: failed", "Trainer: Out of memory.", "The DAG failed."]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "either --root"),
        (("--root", "a", "--job", "b"), "either --root"),
        (("--root", "/nowhere"), "no run was made here"),
        (("--job", "run-2", "--project", PROJECT, "--region", REGION), "not found"),
        (("--job", "run-2"), "--project"),
    ],
)
def test_what_is_not_there_is_named(vertex_server: FakeVertex, flags: tuple[str, ...], words: str) -> None:
    result = status(*flags)
    assert isinstance(result.exception, InputError), result.exception
    assert words in str(result.exception)
