"""`h2rec pipeline relocate`: after a root was moved or copied."""

from __future__ import annotations

import os

import click

from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.errors import InputError


@click.command()
@click.option(
    "--root",
    required=True,
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Where the root of `h2rec pipeline run` lies now.",
)
def relocate(root: str) -> None:
    """Rewrite the paths in the metadata of a root that was moved or copied, so that runs go on there from its cache.

    The metadata as it was stays beside it. The place where the root was before is not touched.
    """
    from tfx_pipeline.runners import root as roots
    from tfx_pipeline.runners.run_lock import run_lock

    if not os.path.isdir(root):
        raise InputError(f"--root {root}: no such directory; name the directory where the root lies now")
    base = os.path.realpath(root)
    with run_lock(base):
        done = roots.relocate(base)
    if not done.paths:
        click.echo(f"nothing to rewrite: the metadata speaks of {base}")
        return
    click.echo(f"rewrote {done.paths} paths from {', '.join(done.old)} to {base}; as it was: {done.backup}")
