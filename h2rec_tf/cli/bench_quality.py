"""`h2rec bench quality` and `h2rec bench render`."""

from __future__ import annotations

import os
import pathlib

import click

from h2rec_tf.cli.options import DataFiles, dataset_options
from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError


@click.command()
@dataset_options
@click.option("--models", multiple=True, required=True, metavar="FILE.yaml", help="A configuration; repeat for more.")
@click.option("--seeds", default="0,1,2", show_default=True, metavar="LIST", help="Seeds, joined by commas.")
@click.option(
    "--output",
    required=True,
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Results, ranks, tables and pictures; runs in it are kept.",
)
@click.option("--name", metavar="TEXT", help="The data set's name in headings [the folder of the interactions].")
@click.option("--baseline", metavar="MODEL", help="Test all against it [the best that is not H2Rec].")
@click.option("--max-steps", type=click.IntRange(min=1), help="Optimizer steps at most: for trying a benchmark out.")
def quality(
    files: DataFiles,
    config: Config,
    models: tuple[str, ...],
    seeds: str,
    output: str,
    name: str | None,
    baseline: str | None,
    max_steps: int | None,
) -> None:
    """Train and measure each configuration with each seed on one data set.

    Every run has a process of its own, reads the test split once and appends one line to DIR/results.jsonl. A run that
    is there already is not repeated, and one that was killed goes on from its last epoch.
    The file of --config gives the sections `data` and `evaluation` and the policy `serving.seen` for all models.
    """
    from h2rec_tf.bench.configurations import read_configurations

    configurations = read_configurations(models, config)
    if max_steps is not None:
        configurations = [one.replace(**{"training.max_steps": max_steps}) for one in configurations]
    numbers = _seeds(seeds)

    from h2rec_tf import environment

    environment.quiet()

    from h2rec_tf.bench.quality import RESULTS_FILE, run_quality
    from h2rec_tf.bench.report import render as render_report
    from h2rec_tf.data.load import load_dataset

    dataset, _ = load_dataset(files.interactions, files.items, embeddings_path=files.embeddings, config=config.data)
    run_quality(
        configurations,
        dataset,
        seeds=numbers,
        output=output,
        dataset_name=name or pathlib.Path(os.path.abspath(files.interactions)).parent.name,
        say=lambda line: click.echo(line, err=True),
    )
    tables = render_report(f"{output}/{RESULTS_FILE}", output, baseline=baseline)
    click.echo("\n\n".join(own[0].markdown() for own in tables.values()))
    click.echo(
        f"\nresults in {output}/{RESULTS_FILE}; tables and pictures in {output}/index.html and {output}/tables.md"
    )


@click.command()
@click.option("--results", required=True, metavar="FILE", help="results.jsonl of `h2rec bench quality`.")
@click.option(
    "--output",
    required=True,
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Where tables.md, index.html and the pictures go.",
)
@click.option("--baseline", metavar="MODEL", help="Test all against it [the best that is not H2Rec].")
def render(results: str, output: str, baseline: str | None) -> None:
    """Make tables, pictures and a page from a results file, without running anything."""
    from h2rec_tf.bench.report import render as render_report

    tables = render_report(results, output, baseline=baseline)
    click.echo(
        f"{sum(map(len, tables.values()))} tables of {len(tables)} data sets in {output}/index.html and tables.md"
    )


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--seeds: give whole numbers joined by commas, as 0,1,2; got '{text}'") from error
