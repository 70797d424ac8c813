"""A store for tests and what it should answer, by NumPy."""

import pathlib

import numpy as np

from h2rec_tf.config import IndexConfig
from serving.retrieval_service.engine import Engine
from serving.retrieval_service.mutations import Upsert
from serving.retrieval_service.options import StoreOptions
from serving.retrieval_service.store import Store


def open_engine(
    folder: pathlib.Path, width: int, *, kind: str = "auto", leaves_to_search: int = 0, **options
) -> Engine:
    """An engine that does nothing by itself unless `options` say so."""
    chosen = {"snapshot_log_bytes": 0, "rebalance_fraction": 0.0, "poll_seconds": 3600.0, **options}
    index = IndexConfig(kind=kind, k=10, leaves_to_search=leaves_to_search)
    return Engine(Store(str(folder), width=width), StoreOptions(index=index, **chosen))


def upsert_of(item_ids, vectors: np.ndarray, titles=None) -> Upsert:
    """An upsert of float `[n, D]` vectors; titles are "" if not given."""
    return Upsert(tuple(item_ids), tuple(titles or [""] * len(vectors)), np.asarray(vectors, np.float32))


def best(items: dict[str, np.ndarray], query: np.ndarray, k: int, excluded=()) -> list[tuple[float, str]]:
    """The k best (score, id), best first."""
    scored = [(float(vector @ query), item_id) for item_id, vector in items.items() if item_id not in excluded]
    return sorted(scored, key=lambda entry: -entry[0])[:k]
