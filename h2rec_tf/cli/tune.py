"""`h2rec tune`: hyperparameters of one model, searched on the validation split within a budget."""

from __future__ import annotations

import click

from h2rec_tf.cli.options import DataFiles, dataset_options
from h2rec_tf.cli.outputs import OUTPUT_FOLDER
from h2rec_tf.config import Config


@click.command()
@dataset_options
@click.option("--model", required=True, metavar="FILE.yaml", help="The configuration that the search starts from.")
@click.option("--space", "space_path", required=True, metavar="FILE.yaml", help="Dotted keys with the values to try.")
@click.option("--budget-trials", required=True, type=click.IntRange(min=1), help="Trials at most.")
@click.option("--budget-minutes", default=0.0, type=click.FloatRange(min=0), help="Time in trials at most [no limit].")
@click.option(
    "--trial-epochs",
    default=0,
    type=click.IntRange(min=0),
    help="Epochs of a trial: shorter trials, more of them [the configuration's].",
)
@click.option(
    "--output", required=True, type=OUTPUT_FOLDER, metavar="DIR", help="The study, best.yaml, trials.md and trials.csv."
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the search and the trainings."
)
def tune(
    files: DataFiles,
    config: Config,
    model: str,
    space_path: str,
    budget_trials: int,
    budget_minutes: float,
    trial_epochs: int,
    output: str,
    seed: int,
) -> None:
    """Search a model's hyperparameters for the highest NDCG@10 on validation; the test split is not read.

    Give every model of a comparison the same budget. The file of --config gives the section `data`. A search that was
    killed goes on when the same command is given again.
    """
    from h2rec_tf.bench.configurations import read_configuration

    one = read_configuration(model, config)

    from h2rec_tf import environment

    environment.quiet()

    from h2rec_tf.bench.prepared import PreparedData
    from h2rec_tf.data.load import load_dataset
    from h2rec_tf.tuning import SearchSpace
    from h2rec_tf.tuning import tune as search

    space = SearchSpace.load(space_path, one.config)
    dataset, _ = load_dataset(files.interactions, files.items, embeddings_path=files.embeddings, config=config.data)
    prepared = PreparedData(dataset, f"{output}/cache")
    result = search(
        one.config,
        space,
        train=dataset.train,
        validation=dataset.validation,
        semantic_ids=lambda tried: prepared.load_semantic_ids(tried, seed=seed),
        output=output,
        trials=budget_trials,
        minutes=budget_minutes,
        trial_epochs=trial_epochs,
        seed=seed,
        progress=True,
        say=lambda line: click.echo(line, err=True),
    )
    click.echo(
        f"best of {result.trials} trials in {result.seconds:.0f} s: validation ndcg@10 {result.ndcg_at_10:.4f};"
        f" {output}/best.yaml, {output}/trials.md"
    )
