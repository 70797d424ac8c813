"""An index on disk and in memory: item vectors in, nearest items by inner product out."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from typing import Any

import numpy as np
import psutil

from h2rec_tf.atomic import atomic_directory
from h2rec_tf.config import IndexConfig
from h2rec_tf.errors import InputError
from h2rec_tf.index import scann_library
from h2rec_tf.index.settings import BRUTE, TREE_AH, IndexSettings, configured
from h2rec_tf.quantizers.base import check_vectors
from h2rec_tf.semantic_ids import ITEM_IDS_FILE, check_item_ids

MANIFEST_FILE = "manifest.json"
SEARCHER_DIR = "searcher"
# A row of a result that no item fills.
ABSENT = -1


@dataclasses.dataclass(frozen=True)
class IndexManifest:
    """What an index is.

    Attributes:
        items: N.
        dimensions: D.
        settings: how it was built and is asked.
        build_seconds: time that building took.
        bytes: size of the searcher's files.
    """

    items: int
    dimensions: int
    settings: IndexSettings
    build_seconds: float
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def load(cls, directory: str) -> IndexManifest:
        """The manifest of the index in a directory.

        Raises:
            InputError: there is no index.
        """
        path = pathlib.Path(directory) / MANIFEST_FILE
        if not path.is_file():
            raise InputError(f"{directory}: no index here; build one with `h2rec index build`")
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**values, "settings": IndexSettings(**values["settings"])})


class Index:
    """A loaded index; threads may search it at once.

    Attributes:
        manifest: what it is.
        item_ids: object `[N]` strings; row r of the index is item r here.
        searcher: ScaNN's own searcher.
        memory_bytes: growth of the process' resident memory while the searcher was loaded; 0 for one built in memory.
    """

    def __init__(self, searcher: Any, item_ids: np.ndarray, manifest: IndexManifest, *, memory_bytes: int = 0) -> None:
        self.searcher = searcher
        self.item_ids = item_ids
        self.manifest = manifest
        self.memory_bytes = memory_bytes

    def __len__(self) -> int:
        return len(self.item_ids)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        excluded: np.ndarray | None = None,
        leaves_to_search: int | None = None,
        reorder: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The items with the largest inner products.

        Args:
            queries: float32 `[B, D]`.
            k: items a row.
            excluded: int `[B, E]` rows of items that never come back; `ABSENT` fills rows of it. As many more items are
                fetched, so that a list is full where enough items remain.
            leaves_to_search: in place of the setting.
            reorder: in place of the setting.

        Returns:
            rows: int32 `[B, min(k, N)]` of `item_ids`, best first; `ABSENT` where fewer items were found.
            scores: float32 `[B, min(k, N)]`; minus infinity where the row is `ABSENT`.

        Raises:
            InputError: `k` below 1, or queries of another width.
        """
        if queries.ndim != 2 or queries.shape[1] != self.manifest.dimensions:
            raise InputError(f"index: queries must be [B, {self.manifest.dimensions}], got {list(queries.shape)}")
        if k < 1:
            raise InputError(f"index: `k` must be at least 1, got {k}")
        width = min(k, len(self))
        fetched = width if excluded is None else min(width + excluded.shape[1], len(self))
        settings = self.manifest.settings
        pre = max(settings.reorder if reorder is None else reorder, fetched)
        leaves = leaves_to_search or settings.leaves_to_search
        if settings.kind == BRUTE:
            pre = leaves = -1
        elif settings.kind != TREE_AH:
            leaves = -1
        rows, scores = self._fetch(queries, fetched, pre, leaves)
        if excluded is not None:
            rows, scores = _without(rows, scores, excluded, width)
        return rows, scores

    def ids(self, rows: np.ndarray) -> np.ndarray:
        """int `[...]` rows -> object `[...]` item ids, "" for `ABSENT`."""
        found = self.item_ids[rows]
        found[rows == ABSENT] = ""
        return found

    def _fetch(self, queries: np.ndarray, count: int, pre: int, leaves: int) -> tuple[np.ndarray, np.ndarray]:
        queries = np.ascontiguousarray(queries, np.float32)
        if len(queries) == 1:
            # A single search has no threads to wake up; it returns only what it found.
            found, values = self.searcher.searcher.search(queries[0], count, pre, leaves)
            if len(found) == count:
                return found.astype(np.int32)[None], values[None]
            rows = np.full((1, count), ABSENT, np.int32)
            scores = np.full((1, count), -np.inf, np.float32)
            rows[0, : len(found)], scores[0, : len(found)] = found, values
            return rows, scores
        rows, scores = self.searcher.searcher.search_batched(queries, count, pre, leaves, True, 256)
        missing = np.isnan(scores)
        rows = rows.astype(np.int32)
        if missing.any():
            rows[missing], scores[missing] = ABSENT, -np.inf
        return rows, scores


def make_searcher(vectors: np.ndarray, settings: IndexSettings, *, docids: list[str] | None = None) -> Any:
    """ScaNN's pybind searcher over vectors, by inner product.

    Args:
        vectors: float32 `[N, D]`.
        settings: how.
        docids: `[N]` distinct ids of a searcher that is to be changed later (`upsert`, `delete`, `rebalance`).

    Raises:
        MissingDependencyError: ScaNN is not installed.
    """
    builder = scann_library.pybind().builder(np.ascontiguousarray(vectors, np.float32), 10, "dot_product")
    return configured(builder, settings).build(docids=docids)


def build_index(vectors: np.ndarray, item_ids: np.ndarray, directory: str, *, config: IndexConfig) -> IndexManifest:
    """Builds an index and writes it, whole or not at all, over an earlier one.

    Args:
        vectors: float32 `[N, D]`, finite.
        item_ids: `[N]` distinct strings.
        directory: where.
        config: the `index` section.

    Raises:
        InputError: vectors or ids that cannot be indexed, or a directory that holds something else.
        MissingDependencyError: ScaNN is not installed.
    """
    item_ids = np.asarray(item_ids, object)
    if len(vectors) != len(item_ids):
        raise InputError(f"index: {len(vectors)} vectors for {len(item_ids)} item ids")
    check_vectors(vectors)
    check_item_ids(item_ids)
    if len(set(item_ids.tolist())) != len(item_ids):
        raise InputError("index: an item id stands there twice; give each item once")
    settings = IndexSettings.derive(config, items=len(vectors))
    scann_library.pybind()
    began = time.perf_counter()
    searcher = make_searcher(vectors, settings)
    seconds = time.perf_counter() - began
    with atomic_directory(directory, marker=MANIFEST_FILE) as path:
        scann_library.save_searcher(searcher, path / SEARCHER_DIR)
        manifest = IndexManifest(
            items=len(vectors),
            dimensions=vectors.shape[1],
            settings=settings,
            build_seconds=seconds,
            bytes=sum(file.stat().st_size for file in (path / SEARCHER_DIR).iterdir()),
        )
        ids = "".join(f"{item_id}\n" for item_id in item_ids.tolist())
        (path / ITEM_IDS_FILE).write_text(ids, encoding="utf-8", newline="")
        (path / MANIFEST_FILE).write_text(json.dumps(manifest.to_dict(), indent=2), encoding="utf-8")
    return manifest


def load_index(directory: str) -> Index:
    """Reads what `build_index` wrote.

    Raises:
        InputError: the directory holds no index, or a damaged one.
        MissingDependencyError: ScaNN is not installed.
    """
    manifest = IndexManifest.load(directory)
    path = pathlib.Path(directory)
    ids = (path / ITEM_IDS_FILE).read_bytes().decode("utf-8").split("\n")[:-1]
    if len(ids) != manifest.items:
        raise InputError(f"{directory}: {len(ids)} item ids for {manifest.items} items; build the index anew")
    scann_library.pybind()
    process = psutil.Process()
    before = process.memory_info().rss
    searcher = scann_library.load_searcher(path / SEARCHER_DIR)
    memory = process.memory_info().rss - before
    return Index(searcher, np.asarray(ids, object), manifest, memory_bytes=max(memory, 0))


def _without(rows: np.ndarray, scores: np.ndarray, excluded: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `width` that are not excluded, in their order."""
    barred = (rows == ABSENT) | (rows[:, :, None] == excluded[:, None, :]).any(axis=2)
    order = np.argsort(barred, axis=1, kind="stable")[:, :width]
    barred = np.take_along_axis(barred, order, axis=1)
    rows = np.where(barred, ABSENT, np.take_along_axis(rows, order, axis=1))
    scores = np.where(barred, -np.inf, np.take_along_axis(scores, order, axis=1))
    return rows.astype(np.int32), scores.astype(np.float32)
