"""`h2rec evaluate`: an exported model on the test split, beside the floors."""

from __future__ import annotations

import click

from h2rec_tf.cli.comparison import GATE_OPTION
from h2rec_tf.cli.options import DataFiles, data_options
from h2rec_tf.cli.outputs import OUTPUT_FILE
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from h2rec_tf.progress import moving


@click.command()
@data_options
@click.option("--model-dir", required=True, metavar="DIR", help="SavedModel, or a folder of numbered versions.")
@click.option(
    "--seen",
    type=click.Choice(["exclude", "include", "repeats"]),
    help="Items of the history: leave them out, a target among them is missed; let them compete; leave out all but the"
    " target [as the model serves].",
)
@click.option("--negatives", type=click.IntRange(min=0), help="Rank among this many unseen items; 0 ranks all [0].")
@click.option(
    "--allow-other-catalogue", is_flag=True, help="Measure a model of another catalogue too: what it lacks is missed."
)
@click.option("--json", "json_path", type=OUTPUT_FILE, metavar="FILE", help="Write all slices and metrics there.")
@GATE_OPTION
@click.option("--exclude-seen/--keep-seen", "old_flag", default=None, hidden=True)
def evaluate(
    files: DataFiles,
    config: Config,
    model_dir: str,
    seen: str | None,
    negatives: int | None,
    allow_other_catalogue: bool,
    json_path: str | None,
    gated: bool,
    old_flag: bool | None,
) -> None:
    """Measure an exported model beside popularity and item-kNN on the test split, and say whether it beats them.

    Without --seen and --negatives the figures are those of the lists that a server gives with this model.
    """
    if old_flag is not None:
        raise InputError(
            "--exclude-seen and --keep-seen are gone: lists are measured as the model serves them; say --seen repeats"
            " or --seen include for what they measured"
        )
    if negatives is not None:
        config = config.replace(**{"evaluation.sampled_negatives": negatives})

    from h2rec_tf import environment

    environment.quiet()

    with moving("loading TensorFlow"):
        from h2rec_tf.cli.comparison import compare, show_verdict
        from h2rec_tf.data.load import load_dataset
        from h2rec_tf.evaluation import Protocol
        from h2rec_tf.export.recommender import ExportedRecommender
        from h2rec_tf.models.exported import newest_version
        from h2rec_tf.models.other_catalogue import catalogue_overlap

    newest_version(model_dir)
    with moving("reading data and model"):
        dataset, _ = load_dataset(files.interactions, files.items, embeddings_path=files.embeddings, config=config.data)
        recommender = ExportedRecommender(model_dir)
    overlap = catalogue_overlap(dataset.catalogue.item_ids, recommender.item_ids)
    if not overlap.equal and not allow_other_catalogue:
        raise InputError(
            f"--model-dir {model_dir}: the model has another catalogue than the data: {overlap.words}; give the data"
            " and the --config it was trained with, or --allow-other-catalogue"
        )
    if not overlap.equal:
        click.echo(f"another catalogue: {overlap.words}; targets that the model does not know are missed", err=True)
    if seen is None and recommender.seen != config.serving.seen:
        click.echo(
            f"the model was exported with `serving.seen: {recommender.seen}` and is measured so; the configuration has"
            f" {config.serving.seen}",
            err=True,
        )
    protocol = Protocol(seen or recommender.seen, config.evaluation.sampled_negatives)
    table, verdict = compare(recommender, dataset, config, served=recommender.seen, shown=protocol, json_path=json_path)
    click.echo(table)
    show_verdict(verdict, gated=gated)
