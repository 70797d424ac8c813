"""`h2rec pipeline status`: the last run on a root, or a job on Vertex AI."""

from __future__ import annotations

import click

from h2rec_tf.errors import InputError
from h2rec_tf.printable import printable_lines


@click.command()
@click.option("--root", default="", metavar="DIR", help="Of `h2rec pipeline run`.")
@click.option("--job", default="", help="Id or resource name of a Vertex AI pipeline job.")
@click.option("--project", default="", envvar="GOOGLE_CLOUD_PROJECT", help="Of the job.")
@click.option("--region", default="", envvar="CLOUDSDK_COMPUTE_REGION", help="Of the job, as europe-west4.")
def status(root: str, job: str, project: str, region: str) -> None:
    """Show the nodes of the last run with state and seconds, what was blessed and what was pushed."""
    if bool(root) == bool(job):
        raise InputError("give either --root, for a run on this machine, or --job, for one on Vertex AI")
    from h2rec_tf import environment

    environment.quiet()
    if root:
        from tfx_pipeline.runners.status import local_status

        click.echo(printable_lines(local_status(root).text()))
        return
    from h2rec_tf.cloud.vertex import Vertex
    from tfx_pipeline.runners.status import vertex_status

    click.echo(vertex_status(Vertex(project, region), job).text())
