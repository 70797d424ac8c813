"""The fastest setting that reaches a recall."""

from __future__ import annotations

import dataclasses

import numpy as np

from h2rec_tf.config import IndexConfig
from h2rec_tf.errors import InputError
from h2rec_tf.index.evaluate import exact_scores, recall, timed_search
from h2rec_tf.index.scann_index import Index, IndexManifest, make_searcher
from h2rec_tf.index.settings import BRUTE, TREE_AH, IndexSettings

# What is tried: blocks of the hash (each is a build), candidates as multiples of k, shares of the leaves.
_BLOCKS = (2, 4)
_CANDIDATES = (1, 2, 4, 8)
_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting that was tried: its recall, and the median time of a query in milliseconds."""

    dimensions_per_block: int
    leaves_to_search: int
    reorder: int
    recall: float
    p50_ms: float
    p99_ms: float


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What tuning found.

    Attributes:
        config: the given configuration with the best setting in it.
        best: of `trials`, the fastest that reaches the recall; the one with the highest recall where none does.
        trials: all that were tried, in their order; brute force has none.
        reached: whether `best` reaches the recall.
    """

    config: IndexConfig
    best: Trial
    trials: tuple[Trial, ...]
    reached: bool

    def table(self) -> str:
        """The trials as text, the best one marked."""
        head = f"  {'dims/block':>10} {'leaves':>7} {'reorder':>8} {'recall':>8} {'p50 ms':>8} {'p99 ms':>8}"
        lines = [
            f"{'*' if trial == self.best else ' '} {trial.dimensions_per_block:>10} {trial.leaves_to_search:>7} "
            f"{trial.reorder:>8} {trial.recall:>8.4f} {trial.p50_ms:>8.3f} {trial.p99_ms:>8.3f}"
            for trial in self.trials
        ]
        return "\n".join([head, *lines])


def tune_index(vectors: np.ndarray, queries: np.ndarray, *, config: IndexConfig) -> Tuning:
    """Tries settings of an index, at most 2 builds and 64 measurements.

    Recall grows with the leaves that are searched, so for each number of candidates a binary search over the shares of
    leaves finds the fewest that are enough.

    Args:
        vectors: float32 `[N, D]`.
        queries: float32 `[Q, D]`, user vectors like those that will be asked.
        config: `kind`, `k` and `target_recall` hold; `leaves`, if given, too.

    Raises:
        InputError: no queries.
        MissingDependencyError: ScaNN is not installed.
    """
    if not len(queries):
        raise InputError("index: there are no queries to tune with")
    width = min(config.k, len(vectors))
    least = exact_scores(vectors, queries, width)
    trials: list[Trial] = []
    kind = IndexSettings.derive(config, items=len(vectors)).kind
    for block in (config.dimensions_per_block,) if kind == BRUTE else _BLOCKS:
        settings = IndexSettings.derive(dataclasses.replace(config, dimensions_per_block=block), items=len(vectors))
        index = _in_memory(vectors, settings)
        candidates = (settings.reorder,) if kind == BRUTE else tuple(times * config.k for times in _CANDIDATES)
        for reorder in candidates:
            shares = [max(1, round(share * settings.leaves)) for share in _SHARES] if kind == TREE_AH else [0]
            low, high = 0, len(shares) - 1
            while low <= high:
                middle = (low + high) // 2
                rows, milliseconds = timed_search(
                    index, queries, width, leaves_to_search=shares[middle], reorder=reorder
                )
                trial = Trial(
                    dimensions_per_block=block,
                    leaves_to_search=shares[middle],
                    reorder=reorder,
                    recall=recall(vectors, queries, rows, least),
                    p50_ms=float(np.percentile(milliseconds, 50)),
                    p99_ms=float(np.percentile(milliseconds, 99)),
                )
                trials.append(trial)
                if trial.recall >= config.target_recall:
                    high = middle - 1
                else:
                    low = middle + 1
    enough = [trial for trial in trials if trial.recall >= config.target_recall]
    best = min(enough, key=lambda trial: trial.p50_ms) if enough else max(trials, key=lambda trial: trial.recall)
    tuned = dataclasses.replace(
        config,
        dimensions_per_block=best.dimensions_per_block,
        leaves_to_search=best.leaves_to_search,
        reorder=best.reorder,
    )
    return Tuning(tuned, best, tuple(trials), bool(enough))


def _in_memory(vectors: np.ndarray, settings: IndexSettings) -> Index:
    manifest = IndexManifest(*vectors.shape, settings=settings, build_seconds=0.0, bytes=0)
    return Index(make_searcher(vectors, settings), np.arange(len(vectors)).astype(object), manifest)
