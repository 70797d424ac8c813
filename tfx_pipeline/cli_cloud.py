"""`h2rec pipeline compile` and `submit`: the pipeline on Kubeflow Pipelines and Vertex AI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from h2rec_tf.cli.cloud_options import labels_of, vertex_options
from h2rec_tf.cli.options import DataFiles, data_options
from h2rec_tf.cli.outputs import OUTPUT_FILE
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError

if TYPE_CHECKING:
    from h2rec_tf.cloud.vertex import Vertex


@click.command("compile")
@data_options
@click.option("--target", required=True, type=click.Choice(["kubeflow", "vertex"]), help="What will run it.")
@click.option("--image", required=True, help="Container image built from this project's Dockerfile.")
@click.option("--root", required=True, metavar="URI", help="Where artifacts go, as gs://bucket/h2rec.")
@click.option("--serving-dir", default="", metavar="URI", help="Where versions are pushed [URI of --root + /serving].")
@click.option("--beam-flag", "beam_flags", multiple=True, help="Flag of the Beam runner, as --runner=DataflowRunner.")
@click.option("--output", required=True, type=OUTPUT_FILE, metavar="FILE", help="The spec: .json, .yaml or .yml.")
def compile_command(
    files: DataFiles,
    config: Config,
    target: str,
    image: str,
    root: str,
    serving_dir: str,
    beam_flags: tuple[str, ...],
    output: str,
) -> None:
    """Write the pipeline as a spec for Kubeflow Pipelines or Vertex AI Pipelines; nothing runs and no file is read.

    Input paths are what the steps will read: gs:// URIs.
    """
    if not output.endswith((".json", ".yaml", ".yml")):
        raise InputError(f"--output {output}: name a .json, .yaml or .yml file")
    from h2rec_tf import environment

    environment.quiet()
    spec = compile_for(
        target,
        files=files,
        config=config,
        root=root,
        image=image,
        serving_dir=serving_dir,
        beam_pipeline_args=list(beam_flags) or None,
    )
    from h2rec_tf.atomic import write_atomically

    write_atomically(output, as_text(spec, output).encode("utf-8"))
    click.echo(f"{target} spec written to {output}")


def compile_for(target: str, **arguments: Any) -> dict[str, Any]:
    """The compiled spec for "kubeflow" or "vertex", as `compile_kubeflow` and `compile_vertex` give it."""
    # The compiler tells of each node with settings at INFO, on stderr.
    if target == "kubeflow":
        from tfx_pipeline.runners.kubeflow import compile_kubeflow

        return compile_kubeflow(**arguments)
    from tfx_pipeline.runners.vertex import compile_vertex

    return compile_vertex(**arguments)


def as_text(spec: dict[str, Any], path: str) -> str:
    """The spec as JSON or YAML, as the path's ending says; keys sorted, so that equal specs are equal files."""
    if path.endswith(".json"):
        return json.dumps(spec, indent=2, sort_keys=True) + "\n"
    import yaml

    return yaml.safe_dump(spec, sort_keys=True)


@click.command()
@click.option("--file", "path", required=True, metavar="FILE", help="What `h2rec pipeline compile` wrote.")
@vertex_options
@click.option("--service-account", default="", help="The steps run as this [the project's default].")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Of the job; repeat for more.")
@click.option("--no-cache", is_flag=True, help="Run every step, even where an earlier run had equal inputs.")
@click.option("--job-id", default="", help="Id of the job [h2rec-<time>].")
@click.option("--schedule", default="", metavar="CRON", help='Run on a schedule instead of now, as "0 3 * * *".')
@click.option("--max-runs", default=0, type=click.IntRange(min=0), help="End the schedule after so many runs [never].")
def submit(
    path: str,
    vertex: Vertex,
    service_account: str,
    labels: tuple[str, ...],
    no_cache: bool,
    job_id: str,
    schedule: str,
    max_runs: int,
) -> None:
    """Start a compiled pipeline on Vertex AI, now or on a schedule.

    Exit code 2: the request is not accepted, or not allowed; 1: Vertex AI failed, is out of quota or out of reach.
    """
    from tfx_pipeline.runners.submit import Submission, submit_pipeline

    submission = Submission(
        path=path,
        service_account=service_account,
        labels=labels_of(labels),
        cache=not no_cache,
        job_id=job_id,
        cron=schedule,
        max_runs=max_runs,
    )
    for line in submit_pipeline(vertex, submission):
        click.echo(line)
