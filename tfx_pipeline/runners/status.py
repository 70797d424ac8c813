"""What the last run on a root did, from TFX's metadata, and where a Vertex AI job stands."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from h2rec_tf.cloud.vertex import Vertex, seconds
from h2rec_tf.errors import InputError
from h2rec_tf.metrics import table
from tfx_pipeline import constants
from tfx_pipeline.runners.gone import lost, missing
from tfx_pipeline.runners.root import METADATA_FILE, other_roots

_RUN_CONTEXT = "pipeline_run"
_NODE_CONTEXT = "node"
_BLESSINGS = ("ModelBlessing", "InfraBlessing", "tfx_pipeline.IndexBlessing")
# They give on what an earlier run judged.
_RESOLVERS = (constants.BASELINE_RESOLVER, constants.WARM_START_RESOLVER)
_PUSHED = "PushedModel"
_OUTPUTS = (
    metadata_store_pb2.Event.OUTPUT,
    metadata_store_pb2.Event.DECLARED_OUTPUT,
    metadata_store_pb2.Event.INTERNAL_OUTPUT,
)


@dataclasses.dataclass(frozen=True)
class NodeStatus:
    """One node of a run.

    Attributes:
        node_id: name of the node.
        state: "complete", "cached", "running" or "failed".
        seconds: from its start to its last sign of life.
    """

    node_id: str
    state: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Status:
    """A run.

    Attributes:
        run: its id.
        nodes: in the order they began.
        notes: blessings and the pushed version, one line each.
    """

    run: str
    nodes: list[NodeStatus]
    notes: list[str]

    def text(self) -> str:
        """A row a node, then the notes."""
        rows = [[node.node_id, node.state, f"{node.seconds:.1f}" if node.seconds else ""] for node in self.nodes]
        return "\n".join(
            [f"run {self.run}", table.render(["node", "state", "seconds"], rows, markdown=False), *self.notes]
        )


def local_status(root: str) -> Status:
    """The last run on `root`, whether it ended or not.

    Raises:
        InputError: there was none, or the metadata is damaged.
    """
    root = os.path.realpath(root)
    path = os.path.join(root, METADATA_FILE)
    if not os.path.isfile(path):
        raise InputError(f"--root {root}: no run was made here; start one with `h2rec pipeline run`")
    elsewhere = other_roots(root)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = path
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    store = metadata_store.MetadataStore(connection)
    runs = store.get_contexts_by_type(_RUN_CONTEXT)
    if not runs:
        raise InputError(f"--root {root}: no run was made here; start one with `h2rec pipeline run`")
    run = max(runs, key=lambda context: (context.create_time_since_epoch, context.id))
    executions = sorted(store.get_executions_by_context(run.id), key=lambda execution: execution.id)
    nodes = [NodeStatus(_node_id(store, execution), _state(execution), _seconds(execution)) for execution in executions]
    notes = _notes(store, executions)
    if elsewhere:
        notes.append(
            f"this root was moved or copied from {', '.join(elsewhere)}; before the next run here:"
            f" h2rec pipeline relocate --root {root}"
        )
    else:
        artifacts = store.get_artifacts()
        notes += lost(missing(artifacts, root), artifacts)
    return Status(run.name, nodes, notes)


def _node_id(store: Any, execution: metadata_store_pb2.Execution) -> str:
    contexts = [context for context in store.get_contexts_by_execution(execution.id) if context.type == _NODE_CONTEXT]
    # TFX names the context `<pipeline>.<node>`.
    return contexts[0].name.rpartition(".")[2] if contexts else execution.type.rpartition(".")[2]


def _state(execution: metadata_store_pb2.Execution) -> str:
    return metadata_store_pb2.Execution.State.Name(execution.last_known_state).lower().replace("_", " ")


def _seconds(execution: metadata_store_pb2.Execution) -> float:
    if execution.last_known_state == metadata_store_pb2.Execution.CACHED:
        return 0.0
    return (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000


def _notes(store: Any, executions: list[metadata_store_pb2.Execution]) -> list[str]:
    producer = {execution.id: execution for execution in executions}
    events = store.get_events_by_execution_ids(list(producer)) if producer else []
    made = {event.artifact_id: event.execution_id for event in events if event.type in _OUTPUTS}
    notes = []
    for artifact in sorted(store.get_artifacts_by_id(list(made)), key=lambda artifact: artifact.id) if made else []:
        properties = artifact.custom_properties
        node = _node_id(store, producer[made[artifact.id]])
        if artifact.type in _BLESSINGS and node not in _RESOLVERS:
            why = f": {properties['reasons'].string_value}" if properties["reasons"].string_value else ""
            notes.append(f"{node}: {'blessed' if properties['blessed'].int_value else 'not blessed'}{why}")
        if artifact.type == _PUSHED:
            where = properties["pushed_destination"].string_value
            notes.append(f"{node}: pushed {where}" if properties["pushed"].int_value else f"{node}: not pushed")
    return notes


def vertex_status(vertex: Vertex, job: str) -> Status:
    """A pipeline job on Vertex AI, by id or resource name.

    Raises:
        InputError: there is no such job, or no permission to see it.
        VertexError: Vertex AI failed.
    """
    name = job if job.startswith("projects/") else f"{vertex.parent}/pipelineJobs/{job}"
    found = vertex.read("PipelineServiceClient", "get_pipeline_job", name=name)
    tasks = sorted(found.job_detail.task_details, key=lambda task: (seconds(task.start_time), task.task_name))
    nodes = [NodeStatus(task.task_name, _task_state(task), _task_seconds(task)) for task in tasks]
    notes = [f"job: {found.state.name.removeprefix('PIPELINE_STATE_').lower()}"]
    notes += [f"{task.task_name}: {task.error.message}" for task in tasks if task.error.message]
    if found.error.message:
        notes.append(found.error.message)
    return Status(found.name, nodes, notes)


def _task_state(task: Any) -> str:
    return "cached" if task.state.name == "SKIPPED" else task.state.name.lower()


def _task_seconds(task: Any) -> float:
    if not task.start_time or not task.end_time:
        return 0.0
    return seconds(task.end_time) - seconds(task.start_time)
