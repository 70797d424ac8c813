"""What commands print: a model beside the baselines that need no training, and the gate's verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from h2rec_tf.config import Config
from h2rec_tf.errors import NotBlessedError

if TYPE_CHECKING:
    from h2rec_tf.baseline_gate import BaselineVerdict
    from h2rec_tf.data.sequences import Dataset
    from h2rec_tf.evaluation import Protocol, Recommender

GATE_OPTION = click.option(
    "--gate", "gated", is_flag=True, help="End with exit code 3 if the model is refused by `gate.baselines`."
)


def compare(
    recommender: Recommender,
    dataset: Dataset,
    config: Config,
    *,
    served: str,
    shown: Protocol,
    json_path: str | None = None,
) -> tuple[str, BaselineVerdict]:
    """Popularity, item-kNN and the model on the test split: overall, head and tail.

    Args:
        recommender: the model; one with `item_ids` of its own is measured over these.
        dataset: the split data; baselines read its training part.
        config: `evaluation`, what is measured, and `gate`, what the model must beat.
        served: what the model's server does with seen items, as `serving.seen`; the gate ranks so.
        shown: how the table ranks.
        json_path: where to write every slice and metric of all three.

    Returns:
        The table, and the verdict of the gate against baselines, which ranks as the pipeline's Evaluator does whatever
        the table is about.

    Raises:
        InputError: the test split is empty, or the file cannot be written.
    """
    from h2rec_tf import names
    from h2rec_tf.atomic import write_atomically
    from h2rec_tf.baseline_gate import judge
    from h2rec_tf.evaluation import Protocol, compare_table
    from h2rec_tf.metrics import ranking
    from h2rec_tf.models.floors import LABELS, baselines
    from h2rec_tf.models.other_catalogue import evaluate_on

    measured, judged = config.evaluation, Protocol(served)
    compared: dict[str, Recommender] = {**baselines(dataset.train, dataset.popularity), "h2rec": recommender}
    results, gains = {}, {}
    for name, one in compared.items():
        first, *others = evaluate_on(
            one,
            dataset.test,
            [shown] if shown == judged else [shown, judged],
            data_ids=dataset.catalogue.item_ids,
            model_ids=getattr(one, "item_ids", dataset.catalogue.item_ids),
            popularity=dataset.popularity,
            ks=measured.ks,
            head_fraction=measured.head_fraction,
            seed=measured.seed,
            progress=True,
        )
        results[LABELS.get(name, name)] = first
        gains[name] = ranking.ndcg((others or [first])[-1].ranks, 10)
    verdict = judge(
        gains.pop("h2rec"),
        gains,
        users=dataset.test.histories.user_ids,
        tail=results["h2rec"].slices[names.TAIL],
        gate=config.gate,
    )
    if json_path is not None:
        content = {name: result.to_dict() for name, result in results.items()}
        write_atomically(json_path, json.dumps(content, indent=1).encode())
    return compare_table(results), verdict


def show_verdict(verdict: BaselineVerdict, *, gated: bool) -> None:
    """Prints how the model stands to the baselines, and whether that is enough.

    Raises:
        NotBlessedError: it is not, and `gated` asks for an exit code that says so.
    """
    for line in verdict.lines():
        click.echo(f"gate: {line}")
    if gated and verdict.reasons:
        raise NotBlessedError(f"the model was refused: {'; '.join(verdict.reasons)}")
    for reason in verdict.reasons:
        click.echo(f"gate: refused: {reason}")
