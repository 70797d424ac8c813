"""`h2rec train`: from files to a trained and exported model, without a pipeline."""

from __future__ import annotations

import click

from h2rec_tf.cli.comparison import GATE_OPTION
from h2rec_tf.cli.options import DataFiles, data_options
from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.config import Config
from h2rec_tf.progress import moving


@click.command()
@data_options
@click.option(
    "--output",
    required=True,
    type=OUTPUT_FOLDER,
    metavar="DIR",
    help="Trained model, checkpoints, logs and DIR/serving/1.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs at most [config].")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all random choices [config].")
@GATE_OPTION
def train(files: DataFiles, config: Config, output: str, epochs: int | None, seed: int | None, gated: bool) -> None:
    """Train a model, measure it on the test split beside popularity and item-kNN, and say whether it beats them.

    A run that was killed goes on when the same command is given again.
    """
    given = {"training.epochs": epochs, "training.seed": seed}
    config = config.replace(**{name: value for name, value in given.items() if value is not None})

    from h2rec_tf import environment

    environment.quiet()

    with moving("loading TensorFlow"):
        from h2rec_tf.cli.comparison import compare, show_verdict
        from h2rec_tf.data.load import load_dataset
        from h2rec_tf.evaluation import Protocol
        from h2rec_tf.export import export_model, serving_model
        from h2rec_tf.models.store import TrainedModel
        from h2rec_tf.models.vector_recommender import VectorRecommender
        from h2rec_tf.quantizers.codebook_gate import check_codebooks, codebook_faults
        from h2rec_tf.semantic_ids import build_semantic_ids
        from h2rec_tf.training.configured import train_configured

    with moving("reading data"):
        dataset, _ = load_dataset(files.interactions, files.items, embeddings_path=files.embeddings, config=config.data)
    semantic_ids = build_semantic_ids(
        dataset.catalogue, text=config.text, quantizer=config.quantizer, seed=config.training.seed, progress=True
    )
    if gated:
        check_codebooks(semantic_ids.report, config.codebooks)
    for fault in codebook_faults(semantic_ids.report, config.codebooks):
        click.echo(f"codebooks: {fault}")
    result = train_configured(config, semantic_ids, dataset.train, dataset.validation, directory=output, progress=True)
    with moving("writing the model"):
        TrainedModel(result.model, config, semantic_ids, dataset.popularity).save(f"{output}/model")
        export_model(serving_model(result.model, semantic_ids, dataset.popularity, config), f"{output}/serving/1")
    click.echo(
        f"best epoch {result.best_epoch} of {len(result.history)}, validation ndcg@10 {result.best_ndcg_at_10:.4f},"
        f" {result.seconds:.0f} s, {result.sequences_per_second:.0f} sequences/s"
    )
    recommender = VectorRecommender(result.model, max_length=config.model.max_length, popularity=dataset.popularity)
    shown = Protocol(config.serving.seen, config.evaluation.sampled_negatives)
    table, verdict = compare(recommender, dataset, config, served=config.serving.seen, shown=shown)
    click.echo(table)
    click.echo(f"model in {output}/model, to serve in {output}/serving")
    show_verdict(verdict, gated=gated)
