"""How good an index is: recall against exact search, time of a query, memory."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from typing import Any

import numpy as np

from h2rec_tf import retrieval
from h2rec_tf.atomic import write_atomically
from h2rec_tf.config import IndexConfig
from h2rec_tf.errors import InputError
from h2rec_tf.index.scann_index import ABSENT, Index
from h2rec_tf.models.other_catalogue import catalogue_overlap

_QUERY_BLOCK = 256
# Order of summation moves an inner product by about this share.
_SLACK = 1e-5
_WARM_UP = 20


@dataclasses.dataclass(frozen=True)
class IndexReport:
    """Figures of one index.

    Attributes:
        items: N.
        dimensions: D.
        kind: of the index.
        k: list length that was asked for.
        queries: number of queries asked.
        recall: mean share of the exact top k that came back; an item that ties with the k-th counts.
        p50_ms: median time of one query, batch 1, milliseconds.
        p99_ms: its 99th percentile.
        queries_per_second: one query after the other.
        bytes: of the index on disk.
        memory_bytes: resident memory that loading took; 0 where it was not loaded from disk.
    """

    items: int
    dimensions: int
    kind: str
    k: int
    queries: int
    recall: float
    p50_ms: float
    p99_ms: float
    queries_per_second: float
    bytes: int
    memory_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def save(self, path: str) -> None:
        """Writes JSON."""
        write_atomically(path, json.dumps(self.to_dict(), indent=2).encode("utf-8"))

    @classmethod
    def load(cls, path: str) -> IndexReport:
        """Reads what `save` wrote.

        Raises:
            InputError: there is no such file.
        """
        file = pathlib.Path(path)
        if not file.is_file():
            raise InputError(f"{path}: no index report here; write one with `h2rec index evaluate --json`")
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    def table(self) -> str:
        """The figures as text."""
        memory = f"{self.memory_bytes / 2**20:.1f} MiB in memory, " if self.memory_bytes else ""
        return (
            f"{self.kind}, {self.items} items x {self.dimensions}: recall@{self.k} {self.recall:.4f} "
            f"over {self.queries} queries\n"
            f"a query: p50 {self.p50_ms:.3f} ms, p99 {self.p99_ms:.3f} ms, {self.queries_per_second:.0f} a second\n"
            f"{memory}{self.bytes / 2**20:.1f} MiB on disk"
        )

    def problems(self, config: IndexConfig) -> list[str]:
        """Why the index must not be used, one line a reason; empty means blessed.

        Args:
            config: limits: `target_recall`, `max_p99_ms`, `max_memory_ratio`.
        """
        found = []
        # Asked so that a figure which is not a number misses every limit: compared with one, it is never beyond it.
        if not self.recall >= config.target_recall:
            found.append(
                f"recall@{self.k} {self.recall:.4f} is below {config.target_recall} (index.target_recall); "
                "run `h2rec index tune`, or raise index.leaves_to_search or index.reorder"
            )
        if config.max_p99_ms and not self.p99_ms <= config.max_p99_ms:
            found.append(f"p99 of a query {self.p99_ms:.3f} ms is above {config.max_p99_ms} (index.max_p99_ms)")
        if config.max_memory_ratio and not self.memory_bytes <= config.max_memory_ratio * self.bytes:
            found.append(
                f"memory {self.memory_bytes / self.bytes:.2f} times the index on disk is above "
                f"{config.max_memory_ratio} (index.max_memory_ratio)"
            )
        return found


def exact_scores(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Score of the k-th best item of each query by exact search: float32 `[Q]`.

    Args:
        vectors: float32 `[N, D]`.
        queries: float32 `[Q, D]`.
        k: 1..N.
    """
    parts = []
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = queries[start : start + _QUERY_BLOCK]

        def scores(first: int, stop: int, block: np.ndarray = block) -> np.ndarray:
            return block @ vectors[first - 1 : stop - 1].T

        _, best = retrieval.top_k(scores, num_items=len(vectors), k=k)
        parts.append(best[:, -1].numpy())
    return np.concatenate(parts)


def recall(vectors: np.ndarray, queries: np.ndarray, rows: np.ndarray, least: np.ndarray) -> float:
    """Mean share of the exact top k among the items found; one that ties with the k-th counts.

    Args:
        vectors: float32 `[N, D]`.
        queries: float32 `[Q, D]`.
        rows: int32 `[Q, k]` found, `ABSENT` for none.
        least: float32 `[Q]`, the k-th best exact score.
    """
    hits = 0
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = slice(start, start + _QUERY_BLOCK)
        scores = np.einsum("qd,qkd->qk", queries[block], vectors[rows[block]])
        bound = least[block, None]
        good = scores >= bound - _SLACK * (1.0 + np.abs(bound))
        hits += int((good & (rows[block] != ABSENT)).sum())
    return hits / rows.size


def evaluate_index(index: Index, vectors: np.ndarray, queries: np.ndarray, *, k: int) -> IndexReport:
    """Compares an index with exact search and takes its time.

    Args:
        index: loaded.
        vectors: float32 `[N, D]`, what it was built over, in its row order.
        queries: float32 `[Q, D]`, user vectors like those that will be asked.
        k: list length; at most N counts.

    Raises:
        InputError: vectors that are not the index's, no queries, or `k` below 1.
    """
    if vectors.shape != (index.manifest.items, index.manifest.dimensions):
        raise InputError(
            f"index: built over [{index.manifest.items}, {index.manifest.dimensions}] vectors, "
            f"evaluated with {list(vectors.shape)}; build it anew from the same model"
        )
    if not len(queries):
        raise InputError("index: there are no queries to evaluate with")
    width = min(k, len(index))
    rows, milliseconds = timed_search(index, queries, width)
    return IndexReport(
        items=index.manifest.items,
        dimensions=index.manifest.dimensions,
        kind=index.manifest.settings.kind,
        k=width,
        queries=len(queries),
        recall=recall(vectors, queries, rows, exact_scores(vectors, queries, width)),
        p50_ms=float(np.percentile(milliseconds, 50)),
        p99_ms=float(np.percentile(milliseconds, 99)),
        queries_per_second=1e3 / float(milliseconds.mean()),
        bytes=index.manifest.bytes,
        memory_bytes=index.memory_bytes,
    )


def check_same_items(index: Index, item_ids: np.ndarray, *, where: str) -> None:
    """Takes an index of a model's own catalogue.

    Args:
        index: loaded.
        item_ids: `[N]`, the model's.
        where: what the message calls the index.

    Raises:
        InputError: the index is of other items, or has them in another order.
    """
    if np.array_equal(np.asarray(index.item_ids, object), np.asarray(item_ids, object)):
        return
    overlap = catalogue_overlap(np.asarray(index.item_ids, object), np.asarray(item_ids, object))
    other = "the same items in another order" if overlap.equal else overlap.words.replace("the data", "the index")
    raise InputError(f"{where}: the index is not of this model's catalogue: {other}; build it anew from this model")


def timed_search(index: Index, queries: np.ndarray, k: int, **options: int) -> tuple[np.ndarray, np.ndarray]:
    """Asks one query after the other.

    Args:
        index: loaded.
        queries: float32 `[Q, D]`.
        k: at most N.
        options: of `Index.search`.

    Returns:
        int32 `[Q, k]` rows found and float64 `[Q]` milliseconds.
    """
    rows = np.empty((len(queries), k), np.int32)
    milliseconds = np.empty(len(queries))
    for query in queries[:_WARM_UP]:
        index.search(query[None], k, **options)  # type: ignore[arg-type]
    for number in range(len(queries)):
        query = queries[number : number + 1]
        began = time.perf_counter()
        found, _ = index.search(query, k, **options)  # type: ignore[arg-type]
        milliseconds[number] = (time.perf_counter() - began) * 1e3
        rows[number] = found[0]
    return rows, milliseconds
