"""Paired tests of two models on the same users."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from h2rec_tf.bench.summary import Comparison, ModelResults
from h2rec_tf.errors import InputError
from h2rec_tf.metrics import ranking
from h2rec_tf.metrics.bootstrap import resampled_sums

_RESAMPLES = 10_000
# Resamples at once: bounds memory.
_BLOCK = 256


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """A model's lead over another one.

    Attributes:
        difference: mean over users.
        low: of the 95 % bootstrap interval over users.
        high: of the same.
        p: two-sided, of the sign-flip permutation test.
    """

    difference: float
    low: float
    high: float
    p: float


def paired_tests(differences: np.ndarray, *, resamples: int = _RESAMPLES, seed: int = 0) -> list[PairedTest]:
    """Tests each column's mean against 0, users being exchangeable.

    The permutation test flips the sign of each user's difference at random: under the hypothesis that the two models
    are equally good for every user, no sign is likelier than the other. With hits (0 or 1) of one run each it is the
    test that McNemar's approximates. The interval is the percentile bootstrap over users.

    Args:
        differences: float `[U, M]`, a user's metric of model m minus that of the other model, seeds averaged.
        resamples: of either kind; the smallest p is 1 / (resamples + 1).
        seed: of the resamples, which all columns share.
    """
    users, models = differences.shape
    generator = np.random.default_rng(seed)
    observed = differences.mean(axis=0)
    extreme = np.zeros(models, np.int64)
    means = np.zeros((resamples, models))
    # A user without a difference stays without one, whatever the sign.
    moved = differences[(differences != 0).any(axis=1)]
    # Sums in another order differ in the last digits: those of equal size must still count.
    threshold = np.abs(observed) * (1 - 1e-9)
    for first in range(0, resamples, _BLOCK):
        count = min(_BLOCK, resamples - first)
        signs = generator.integers(0, 2, (count, len(moved)), dtype=np.int8) * 2.0 - 1.0
        extreme += (np.abs(signs @ moved / users) >= threshold).sum(axis=0)
        means[first : first + count] = resampled_sums(differences, count, generator) / users
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    p = (extreme + 1) / (resamples + 1)
    return [
        PairedTest(float(observed[model]), float(low[model]), float(high[model]), float(p[model]))
        for model in range(models)
    ]


def holm(p: list[float]) -> list[float]:
    """Holm's adjustment for several tests: the chance of one false finding among all stays below the level."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min((len(p) - place) * p[index], 1.0))
        adjusted[index] = running
    return adjusted.tolist()


@dataclasses.dataclass(frozen=True)
class Significance:
    """All models against one.

    Attributes:
        baseline: the model compared with.
        models: names of the others.
        ndcg: their tests on NDCG@10.
        hits: their tests on HR@10.
        adjusted: Holm-adjusted p of `ndcg`.
    """

    baseline: str
    models: list[str]
    ndcg: list[PairedTest]
    hits: list[PairedTest]
    adjusted: list[float]


def against(
    comparison: Comparison, directory: str | pathlib.Path, *, baseline: str | None = None
) -> Significance | None:
    """Tests all models against a baseline on the test users' ranks under the headline's protocol.

    Args:
        comparison: models on one data set.
        directory: of the results file, which the records' `ranks` are relative to.
        baseline: a model's name; None takes the floor or baseline with the highest test NDCG@10.

    Returns:
        None where ranks are missing or there is nothing to compare.

    Raises:
        InputError: no such baseline.
    """
    chosen = comparison.best(("floor", "baseline"))
    if baseline is not None:
        chosen = next((model for model in comparison.models if model.name == baseline), None)
        if chosen is None:
            known = ", ".join(model.name for model in comparison.models)
            raise InputError(f"--baseline: no model {baseline} on {comparison.dataset}; there are {known}")
    if chosen is None:
        return None
    others = [model for model in comparison.models if model.name != chosen.name]
    ranks = {model.name: _ranks(model, pathlib.Path(directory)) for model in [chosen, *others]}
    others = [model for model in others if ranks[model.name] is not None]
    if ranks[chosen.name] is None or not others:
        return None

    def tests(metric: str) -> list[PairedTest]:
        gains = {name: _gain(found, metric) for name, found in ranks.items() if found is not None}
        return paired_tests(np.stack([gains[model.name] - gains[chosen.name] for model in others], axis=1))

    ndcg = tests("ndcg@10")
    return Significance(
        chosen.name,
        [model.name for model in others],
        ndcg,
        tests("hr@10"),
        holm([test.p for test in ndcg]),
    )


def _gain(ranks: np.ndarray, metric: str) -> np.ndarray:
    """float64 `[U]`: a user's metric, mean over the runs of int `[S, U]`."""
    return np.mean([ranking.per_row(run.astype(np.int64), (10,))[metric] for run in ranks], axis=0)


def _ranks(model: ModelResults, directory: pathlib.Path) -> np.ndarray | None:
    """int `[S, U]`, or None where a run's file is not there or has the ranks of another protocol."""
    if any(record["protocol"] != model.headline for record in model.records):
        return None
    paths = [directory / record["ranks"] for record in model.records]
    if not all(path.is_file() for path in paths):
        return None
    runs = []
    for path in paths:
        with np.load(path) as file:
            runs.append(file["ranks"].astype(np.int64))
    return np.stack(runs)
