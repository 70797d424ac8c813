"""`h2rec evaluate`: an exported model on the test split, beside the floors."""

from __future__ import annotations

import click

from h2rec_tf.cli.comparison import GATE_OPTION
from h2rec_tf.cli.options import DataFiles, data_options
from h2rec_tf.config import Config


@click.command()
@data_options
@click.option("--model-dir", required=True, metavar="DIR", help="SavedModel, or a folder of numbered versions.")
@click.option("--exclude-seen/--keep-seen", default=None, help="Take the user's own items out of the ranking [keep].")
@click.option("--negatives", type=click.IntRange(min=0), help="Rank among this many unseen items; 0 ranks all [0].")
@click.option("--json", "json_path", metavar="FILE", help="Write all slices and metrics there.")
@GATE_OPTION
def evaluate(
    files: DataFiles,
    config: Config,
    model_dir: str,
    exclude_seen: bool | None,
    negatives: int | None,
    json_path: str | None,
    gated: bool,
) -> None:
    """Measure an exported model beside popularity and item-kNN on the test split, and say whether it beats them."""
    given = {"evaluation.exclude_seen": exclude_seen, "evaluation.sampled_negatives": negatives}
    config = config.replace(**{name: value for name, value in given.items() if value is not None})

    from h2rec_tf import environment

    environment.quiet()

    from h2rec_tf.cli.comparison import compare, show_verdict
    from h2rec_tf.data.load import load_dataset
    from h2rec_tf.models.exported import ExportedRecommender, newest_version

    newest_version(model_dir)
    dataset, _ = load_dataset(files.interactions, files.items, embeddings_path=files.embeddings, config=config.data)
    recommender = ExportedRecommender(model_dir, dataset.catalogue.item_ids)
    table, verdict = compare(recommender, dataset, config, json_path=json_path)
    click.echo(table)
    show_verdict(verdict, gated=gated)
