"""`h2rec data`: look at data, and make some."""

from __future__ import annotations

import click

from h2rec_tf.cli.options import DataFiles, data_options
from h2rec_tf.cli.outputs import OUTPUT_FILE, OUTPUT_FOLDER
from h2rec_tf.config import Config
from h2rec_tf.printable import printable

# Problems that are printed without --all.
_SHOWN = 20


@click.group()
def data() -> None:
    """Check your files, or make synthetic ones."""


@data.command()
@data_options
@click.option("--all", "show_all", is_flag=True, help=f"Print every problem, not only the first {_SHOWN}.")
@click.option("--json", "json_path", type=OUTPUT_FILE, metavar="FILE", help="Also write the report as JSON.")
def check(files: DataFiles, config: Config, show_all: bool, json_path: str | None) -> None:
    """Print what is in the files, what to look at twice, and every problem with file, row and column.

    Ends with exit code 2 if more rows are bad than --max-bad-rows allows, a file cannot be used at all, or training or
    the pipeline would refuse the data.
    """
    from h2rec_tf.atomic import write_atomically
    from h2rec_tf.data.load import examine_dataset
    from h2rec_tf.errors import InputError

    _, report = examine_dataset(
        files.interactions,
        files.items,
        embeddings_path=files.embeddings,
        config=config.data,
        text=config.text,
        validation=config.validation,
    )
    problems = report.problem_lines(None if show_all else _SHOWN)
    for line in [*report.lines(), "", *report.warning_lines(), *problems]:
        click.echo(printable(line))
    if json_path:
        import json

        text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n"
        write_atomically(json_path, text.encode("utf-8"))
    report.problems.enforce(config.data.max_bad_rows)
    if report.failure:
        raise InputError(report.failure)


@data.command()
@click.argument("directory", type=OUTPUT_FOLDER)
@click.option("--items", default=3000, show_default=True, type=click.IntRange(min=100), help="Items.")
@click.option("--users", default=6000, show_default=True, type=click.IntRange(min=1), help="Users.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of all random choices.")
def synthesize(directory: str, items: int, users: int, seed: int) -> None:
    """Write interactions.csv.gz and items.jsonl with topics, a long tail and sequences to DIRECTORY."""
    from h2rec_tf.data.synthetic import write_synthetic

    for path in write_synthetic(directory, items=items, users=users, seed=seed):
        click.echo(path)
