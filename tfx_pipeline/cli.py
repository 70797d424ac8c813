"""`h2rec pipeline`: the TFX pipeline from the command line."""

from __future__ import annotations

import click

from h2rec_tf.cli.options import DataFiles, data_options
from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.config import Config
from h2rec_tf.errors import NotBlessedError
from h2rec_tf.printable import printable_lines
from tfx_pipeline.cli_cloud import compile_command, submit
from tfx_pipeline.cli_relocate import relocate
from tfx_pipeline.cli_status import status


@click.group()
def pipeline() -> None:
    """Run the TFX pipeline from files to a pushed model, here, on Kubeflow or on Vertex AI."""


pipeline.add_command(compile_command)
pipeline.add_command(submit)
pipeline.add_command(status)
pipeline.add_command(relocate)


@pipeline.command()
@data_options
@click.option(
    "--root",
    required=True,
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Artifacts, metadata, logs, and DIR/serving/<version>.",
)
@click.option(
    "--beam-arg", "beam_args", multiple=True, metavar="FLAG", help="Flag of the Beam runner; repeat for more."
)
def run(files: DataFiles, config: Config, root: str, beam_args: tuple[str, ...]) -> None:
    """Run all components in this process; those whose inputs did not change are taken from earlier runs on DIR.

    Exit code 0: the model was blessed and pushed. 2: an input is not usable. 3: the model was not blessed; the reasons
    are printed and the model served before stays. 1: a component failed; DIR/logs has the details.
    """
    from tfx_pipeline.runners.local_run import run_local

    summary = run_local(files=files, config=config, root=root, beam_args=beam_args)
    click.echo(printable_lines(summary.table()))
    for line in summary.compared:
        click.echo(f"gate: {line}")
    click.echo(f"report in {summary.report}")
    if not summary.blessed:
        raise NotBlessedError(f"the model was not blessed and not pushed: {'; '.join(summary.reasons)}")
    click.echo(f"model pushed to {summary.pushed}")
