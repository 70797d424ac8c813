"""`h2rec serve`."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import click

from h2rec_tf.printable import printable
from h2rec_tf.progress import moving
from h2rec_tf.pushed import versions_folder
from serving.cli.options import allow_op, check_ports, listening, listening_values
from serving.server.options import MEBIBYTE, Batching, Limits, ServerOptions

_DEFAULTS = ServerOptions()
_LIMITS = _DEFAULTS.limits
_BATCHING = _DEFAULTS.batching
_SECONDS = click.FloatRange(min=0)
_COUNT = click.IntRange(min=1)
_FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.option(
    "--model-dir",
    help="Folder with a sub-folder for each version, as the pipeline pushes it.",
    show_default="$MODEL_BASE_PATH/NAME, where that is set",
)
@click.option(
    "--model-name",
    help="Name that requests give.",
    show_default=f"$MODEL_NAME without --model-dir, else {_DEFAULTS.model_name}",
)
@click.option(
    "--model-config-file",
    type=_FILE,
    help="Instead of --model-dir: TensorFlow Serving's model_config_list, for several models, versions, labels.",
)
@listening(_DEFAULTS)
@click.option(
    "--poll-seconds",
    default=_DEFAULTS.poll_seconds,
    show_default=True,
    type=_SECONDS,
    help="Time between looks for new versions and a changed --model-config-file; 0: never.",
)
@click.option(
    "--batching-parameters-file", type=_FILE, help="TensorFlow Serving's batching parameters; overrides the next three."
)
@click.option("--no-batching", is_flag=True, help="Every request is a call of its own.")
@click.option("--batch-rows", default=_BATCHING.max_rows, show_default=True, type=_COUNT, help="Rows of a shared call.")
@click.option(
    "--batch-timeout-ms",
    default=_BATCHING.timeout_seconds * 1e3,
    show_default=True,
    type=_SECONDS,
    help="Longest wait for company while another call runs; an idle server never waits.",
)
@click.option(
    "--parallel", default=_BATCHING.parallel, show_default="all cores but one", type=_COUNT, help="Calls at a time."
)
@click.option(
    "--op-threads",
    default=_DEFAULTS.op_threads,
    show_default=True,
    type=click.IntRange(min=0),
    help="Threads that one op of a call may spread over; 0: all cores.",
)
@click.option(
    "--max-message-mib",
    default=_LIMITS.message_bytes // MEBIBYTE,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Largest request or response.",
)
@click.option(
    "--max-batch-size", default=_LIMITS.batch_size, show_default=True, type=_COUNT, help="Most rows of one request."
)
@click.option(
    "--max-history",
    default=_LIMITS.history_length,
    show_default=True,
    type=_COUNT,
    help="Longest history.",
)
@click.option("--max-k", default=_LIMITS.k, show_default=True, type=_COUNT, help="Largest k; a model may allow less.")
@click.option(
    "--max-seconds",
    default=_LIMITS.seconds,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Longest time for an answer, where the caller's deadline is not shorter.",
)
@click.option(
    "--max-concurrent", default=_LIMITS.concurrent, show_default=True, type=_COUNT, help="Requests at a time."
)
@click.option(
    "--monitoring-config-file",
    type=_FILE,
    help="TensorFlow Serving's monitoring configuration.",
)
@click.option(
    "--allow-reload-config",
    is_flag=True,
    help="Let callers change what is served (HandleReloadConfigRequest), within --model-root.",
)
@click.option(
    "--model-root",
    "model_roots",
    multiple=True,
    metavar="DIR",
    show_default="the folders served from the start",
    help="Where models named by such callers must lie; repeat for more.",
)
@click.option(
    "--admin-token-file",
    default="",
    metavar="FILE",
    help="Such callers need one of its bearer tokens, which are good for nothing else.",
)
@allow_op
@click.option("--log-inputs", is_flag=True, help="Log what was asked too, user histories included.")
def serve(
    model_dir: str | None,
    model_name: str | None,
    model_config_file: str | None,
    batching_parameters_file: str | None,
    monitoring_config_file: str | None,
    **given: Any,
) -> None:
    """Serve pushed models over TensorFlow Serving's gRPC and REST APIs.

    The newest version under --model-dir answers; a newer one takes over when it appears, without a failed request.
    Ends on SIGTERM or Ctrl-C, after the running requests.
    """
    if not model_dir and not model_config_file:
        model_dir, model_name = _from_environment(model_name)
    if bool(model_dir) == bool(model_config_file):
        raise click.UsageError("give one of --model-dir and --model-config-file")
    if model_dir:
        # Before the seconds that TensorFlow takes to import.
        model_dir = versions_folder(model_dir)
    if not given["allow_reload_config"] and (given["model_roots"] or given["admin_token_file"]):
        raise click.UsageError("--model-root and --admin-token-file need --allow-reload-config")
    if given["log_inputs"] and not given["access_log"]:
        raise click.UsageError("--log-inputs needs --access-log")
    batching = Batching(
        max_rows=given["batch_rows"],
        timeout_seconds=given["batch_timeout_ms"] / 1e3,
        parallel=given["parallel"],
        enabled=not given["no_batching"],
    )
    limits = Limits(
        message_bytes=given["max_message_mib"] * MEBIBYTE,
        batch_size=given["max_batch_size"],
        history_length=given["max_history"],
        k=given["max_k"],
        seconds=given["max_seconds"],
        concurrent=given["max_concurrent"],
    )
    options = ServerOptions(
        model_dir=model_dir or "",
        model_name=model_name or _DEFAULTS.model_name,
        model_config_file=model_config_file or "",
        poll_seconds=given["poll_seconds"],
        batching=batching,
        op_threads=given["op_threads"],
        log_inputs=given["log_inputs"],
        allow_reload=given["allow_reload_config"],
        model_roots=given["model_roots"],
        allow_ops=given["allow_ops"],
        **listening_values(given, limits),
    )
    if batching_parameters_file or monitoring_config_file:
        from serving.server import config_files

        if batching_parameters_file:
            options = dataclasses.replace(
                options, batching=config_files.read_batching(batching_parameters_file, batching)
            )
        if monitoring_config_file:
            options = dataclasses.replace(options, metrics_path=config_files.read_monitoring(monitoring_config_file))
    check_ports(options)
    click.echo(f"loading {printable(options.model_dir or options.model_config_file)} ...", err=True)
    with moving("loading TensorFlow"):
        from serving.server.run import run

    run(options)


def _from_environment(model_name: str | None) -> tuple[str | None, str | None]:
    """Folder and name by the variables of TensorFlow Serving's image, which starts without arguments too.

    MODEL_NAME alone names nothing: it is too common a variable to rename a model that options describe.
    """
    base = os.environ.get("MODEL_BASE_PATH")
    if not base:
        return None, model_name
    name = model_name or os.environ.get("MODEL_NAME") or _DEFAULTS.model_name
    return f"{base.rstrip('/')}/{name}", name
