"""Runs the pipeline in this process, with progress, on a sqlite metadata store."""

from __future__ import annotations

import dataclasses
import datetime
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants as compiler_constants
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from h2rec_tf.errors import H2RecError, InputError
from tfx_pipeline.records import has_record, verify, write_record
from tfx_pipeline.runners.cache_keys import movable_cache_keys
from tfx_pipeline.runners.storage_faults import storage_fault

# Beam inside this process: on few cores faster than threads or processes. The image is one that this runner never
# starts; without any, TFX packs itself up for remote workers at each component, which takes seconds.
_IN_PROCESS = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
_NO_PACKING = "--sdk_container_image=none"


# Nodes of this type make nothing: their outputs are artifacts of earlier runs.
_RESOLVER = "Resolver"

# Output channel -> artifacts.
Outputs = dict[str, list[metadata_store_pb2.Artifact]]


class ComponentError(H2RecError):
    """A component failed for a reason that its input does not explain."""

    exit_code = 1


def beam_pipeline_args(given: Sequence[str] = ()) -> list[str]:
    """Flags of Beam for a run in this process, with those given over them; another runner gets only its own."""
    if any(flag.startswith("--runner") for flag in given):
        return list(given)
    return [*_IN_PROCESS, _NO_PACKING, *given]


@dataclasses.dataclass(frozen=True)
class NodeRun:
    """What one node did.

    Attributes:
        node_id: name of the node.
        seconds: wall time.
        cached: an earlier run's outputs were used.
        outputs: output channel -> artifacts (`ml_metadata` protos).
    """

    node_id: str
    seconds: float
    cached: bool
    outputs: Outputs


class Progress(Protocol):
    """Is told what the runner does."""

    def started(self, number: int, total: int, node_id: str) -> None:
        """Node `number` of `total` begins."""

    def finished(self, number: int, total: int, node_id: str, seconds: float, cached: bool) -> None:
        """The node ended well after `seconds`, or an earlier run's outputs were taken."""


class LocalRunner(local_dag_runner.LocalDagRunner):
    """TFX's local runner, node by node, that reports progress and keeps the outputs of each node.

    Attributes:
        runs: node id -> what it did, filled while running.
    """

    def __init__(self, progress: Progress, *, uncached: Collection[str] = ()):
        """Args:
        progress: is told what happens.
        uncached: nodes that run every time, as their effect is outside their artifacts.
        """
        super().__init__()
        self.runs: dict[str, NodeRun] = {}
        self._uncached = uncached
        self._progress = progress

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None, **kwargs: Any
    ) -> None:
        """Runs all nodes in topological order.

        Raises:
            InputError: a component found its input unusable; the message starts with the component's name.
            ComponentError: a component failed otherwise.
        """
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {compiler_constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.datetime.now().isoformat()}
        )
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = deployment.metadata_connection_config
        connection = getattr(connection, connection.WhichOneof("connection_config"))
        root = os.path.dirname(pipeline.runtime_spec.pipeline_root.field_value.string_value)
        with movable_cache_keys(root):
            self._run_nodes(pipeline, deployment, connection)

    def _run_nodes(self, pipeline: pipeline_pb2.Pipeline, deployment: Any, connection: Any) -> None:
        total = len(pipeline.nodes)
        for number, entry in enumerate(pipeline.nodes, start=1):
            node = entry.pipeline_node
            node_id = node.node_info.id
            if node_id in self._uncached:
                node.execution_options.caching_options.enable_cache = False
            self._progress.started(number, total, node_id)
            begin = time.perf_counter()
            upstream = [self.runs[name].outputs for name in node.upstream_nodes if name in self.runs]

            _verified(node_id, (artifact.uri for outputs in upstream for artifact in _artifacts(outputs)))

            def launch(node: pipeline_pb2.PipelineNode = node, node_id: str = node_id) -> Any:
                return launcher.Launcher(
                    pipeline_node=node,
                    mlmd_connection=metadata.Metadata(connection),
                    pipeline_info=pipeline.pipeline_info,
                    pipeline_runtime_spec=pipeline.runtime_spec,
                    executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
                    custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
                ).launch()

            cached, outputs = _execution(connection, _named_errors(node_id, launch, upstream))
            if cached and not all(fileio.exists(made.uri) and has_record(made.uri) for made in _artifacts(outputs)):
                # TFX trusts its metadata; a directory that the user deleted, or that a killed run did not get to
                # record, must be made anew.
                node.execution_options.caching_options.enable_cache = False
                cached, outputs = _execution(connection, _named_errors(node_id, launch, upstream))
            if cached:
                _verified(node_id, (artifact.uri for artifact in _artifacts(outputs)))
            elif not node.node_info.type.name.endswith(_RESOLVER):
                for artifact in _artifacts(outputs):
                    if not has_record(artifact.uri):
                        write_record(artifact.uri)
            run = NodeRun(node_id, time.perf_counter() - begin, cached, outputs)
            self.runs[node_id] = run
            self._progress.finished(number, total, node_id, run.seconds, cached)


def _artifacts(outputs: Outputs) -> Iterator[metadata_store_pb2.Artifact]:
    for channel in outputs.values():
        yield from channel


def _verified(node_id: str, uris: Iterable[str]) -> None:
    """Raises InputError, with the node's name, where an artifact is not what was written."""
    for uri in uris:
        try:
            verify(uri)
        except InputError as error:
            raise InputError(f"{node_id}: {error}") from error


def _named_errors(node_id: str, launch: Callable[[], Any], upstream: Iterable[Outputs] = ()) -> int:
    """Launches a node and returns its execution id; errors come out with the node's name and their root cause."""
    try:
        info = launch()
    # A component may fail with anything; whatever it is, the user needs its name first.
    except Exception as error:
        known = _first_known(error)
        if known is not None:
            raise InputError(f"{node_id}: {known}") from error
        fault = storage_fault(error, (artifact.uri for outputs in upstream for artifact in _artifacts(outputs)))
        if fault:
            raise InputError(f"{node_id}: {fault}") from error
        raise ComponentError(f"{node_id} failed: {_one_line(error)}") from error
    if info is None or not info.execution_id:
        raise ComponentError(f"{node_id} did not run: what it reads from earlier components is missing")
    return info.execution_id


def _first_known(error: BaseException | None) -> H2RecError | None:
    """The first error in the chain of causes that was written for the user."""
    while error is not None:
        if isinstance(error, H2RecError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # TensorFlow's "in user code:" heads a traceback; its cause stands last.
    return f"{type(error).__name__}: {(lines[-1] if lines[0].endswith(':') else lines[0])[:300]}"


def _execution(connection: metadata_store_pb2.ConnectionConfig, execution_id: int) -> tuple[bool, Outputs]:
    """Whether the execution was cached, and its outputs as the metadata store has them."""
    with metadata.Metadata(connection) as handle:
        (execution,) = handle.store.get_executions_by_id([execution_id])
        events = handle.store.get_events_by_execution_ids([execution_id])
        keys = {
            event.artifact_id: event.path.steps[0].key
            for event in events
            if event.type in (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
        }
        artifacts = handle.store.get_artifacts_by_id(list(keys)) if keys else []
    if execution.last_known_state == metadata_store_pb2.Execution.FAILED:
        raise ComponentError(f"{execution.name or 'component'} failed before it ran; see the log")
    outputs: Outputs = {}
    for artifact in artifacts:
        outputs.setdefault(keys[artifact.id], []).append(artifact)
    return execution.last_known_state == metadata_store_pb2.Execution.CACHED, outputs
