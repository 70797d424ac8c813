"""Engine, store and index together: any history of changes, stops and crashes leaves what was acknowledged."""

import itertools
import pathlib
import shutil
import tempfile
import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stores import best, open_engine, upsert_of

from h2rec_tf.errors import InputError
from serving.retrieval_service.log import segments
from serving.retrieval_service.mutations import Delete
from serving.retrieval_service.snapshot import snapshots
from serving.retrieval_service.store import Store

WIDTH = 3
IDS = [f"item {number}" for number in range(12)] + ["Ünïcode ✓", "a,b", "x" * 300]


class StoreMachine(RuleBasedStateMachine):
    """Compares an engine with a dictionary."""

    @initialize()
    def begin(self) -> None:
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.folders = (self.root / str(number) for number in itertools.count())
        self.folder = next(self.folders)
        self.engine = open_engine(self.folder, WIDTH)
        self.items: dict[str, tuple[str, np.ndarray]] = {}
        self.writes = 0

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=6, unique=True), seed=st.integers(0, 10**6))
    def upsert(self, ids: list[str], seed: int) -> None:
        vectors = np.random.default_rng(seed).normal(size=(len(ids), WIDTH)).astype(np.float32)
        titles = [f"title {seed}" if seed % 2 else ""] * len(ids)
        written = self.engine.write(upsert_of(ids, vectors, titles))
        assert written.existed == [item_id in self.items for item_id in ids]
        self.items.update(zip(ids, zip(titles, vectors, strict=True), strict=True))
        self._count(written.sequence)

    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=6, unique=True))
    def delete(self, ids: list[str]) -> None:
        written = self.engine.write(Delete(tuple(ids)))
        assert written.existed == [item_id in self.items for item_id in ids]
        for item_id in ids:
            self.items.pop(item_id, None)
        self._count(written.sequence)

    @rule()
    def snapshot(self) -> None:
        sequence, path = self.engine.snapshot()
        assert sequence == self.writes and pathlib.Path(path).is_dir()
        assert self.engine.status().snapshot_sequence == sequence

    @rule()
    def rebalance(self) -> None:
        self.engine.rebalance()
        assert self.engine.status().changed == 0

    @rule()
    def restart(self) -> None:
        self.engine.close()
        self.engine = open_engine(self.folder, WIDTH)

    @rule(torn=st.binary(max_size=60), unfinished=st.booleans())
    def crash(self, torn: bytes, unfinished: bool) -> None:
        # What the disk holds at this moment, with the beginning of a write and of a snapshot that were going on.
        folder = next(self.folders)
        shutil.copytree(self.folder, folder)
        self.engine.close()
        with segments(folder / "log")[-1][1].open("ab") as file:
            file.write(torn)
        if unfinished:
            (folder / "snapshots" / ".writing-abc").mkdir(parents=True)
        self.folder, self.engine = folder, open_engine(folder, WIDTH)

    @invariant()
    def holds_what_was_acknowledged(self) -> None:
        status = self.engine.status()
        assert (status.items, status.sequence) == (len(self.items), self.writes)
        query = np.asarray([0.3, -1.0, 0.5], np.float32)
        vectors = {item_id: vector for item_id, (_, vector) in self.items.items()}
        expected = best(vectors, query, 20, excluded={IDS[0]})
        hits = self.engine.index.search(query[None], 20, [{IDS[0]}])[0]
        assert [hit.item_id for hit in hits] == [item_id for _, item_id in expected]
        assert np.allclose([hit.score for hit in hits], [score for score, _ in expected], atol=1e-5)
        assert [hit.title for hit in hits] == [self.items[hit.item_id][0] for hit in hits]
        assert not list(self.folder.glob("snapshots/.writing-*"))

    def teardown(self) -> None:
        self.engine.close()
        shutil.rmtree(self.root)

    def _count(self, sequence: int) -> None:
        self.writes += 1
        assert sequence == self.writes


class TestStore(StoreMachine.TestCase):
    settings = settings(max_examples=8, stateful_step_count=15, deadline=None, derandomize=True)


@pytest.mark.slow  # A minute of the same with longer histories.
class TestStoreLong(StoreMachine.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("kind", ["brute", "ah", "tree_ah"])
def test_searches_are_right_while_others_write_and_the_index_is_rebuilt(tmp_path, kind):
    """Titles carry the version of an item, and its vector follows from it: no answer may mix two states."""
    width, base = 8, 1200
    directions = np.random.default_rng(0).normal(size=(base, width))

    def vector(number: int, version: int) -> np.ndarray:
        return directions[number] * (1 + version % 5)

    def write(numbers, version):
        vectors = np.stack([vector(number, version) for number in numbers])
        engine.write(upsert_of([f"i{number}" for number in numbers], vectors, [str(version)] * len(numbers)))

    # Never touched, and better than anything else for the query: they must always be found.
    query = np.full(width, 2.0, np.float32)
    anchors = [f"anchor {number}" for number in range(5)]
    # All leaves of a tree: what a search of few leaves may miss is no business of this test.
    engine = open_engine(tmp_path, width, kind=kind, leaves_to_search=base)
    write(range(base), 0)
    engine.write(upsert_of(anchors, np.full((5, width), 50.0)))
    engine.rebalance()
    assert engine.status().kind == kind
    stop, failures, searches = threading.Event(), [], [0, 0, 0]

    def read(reader: int) -> None:
        banned = {f"i{number}" for number in range(reader, base, 7)}
        while not stop.is_set():
            hits = engine.index.search(query[None], 30, [banned])[0]
            for hit in hits:
                if hit.item_id not in anchors:
                    expected = float(vector(int(hit.item_id[1:]), int(hit.title)) @ query)
                    assert abs(hit.score - expected) < 1e-3, hit
            assert len(hits) == 30 and not banned & {hit.item_id for hit in hits}
            assert {hit.item_id for hit in hits[:5]} == set(anchors)
            searches[reader] += 1

    def change(half: int) -> None:
        generator = np.random.default_rng(half)
        for version in range(1, 15):
            numbers = generator.permutation(np.arange(half, base, 2))[:40]
            write(numbers[:30], version)
            engine.write(Delete(tuple(f"i{number}" for number in numbers[25:])))
            state.update({f"i{number}": version for number in numbers[:25]})
            for number in numbers[25:]:
                state.pop(f"i{number}", None)

    def guarded(task, *arguments) -> None:
        try:
            task(*arguments)
        except BaseException as error:
            failures.append(error)
            raise

    state = {f"i{number}": 0 for number in range(base)}
    readers = [threading.Thread(target=guarded, args=(read, reader)) for reader in range(3)]
    writers = [threading.Thread(target=guarded, args=(change, half)) for half in range(2)]
    for thread in [*readers, *writers]:
        thread.start()
    while any(thread.is_alive() for thread in writers):
        engine.rebalance()
    stop.set()
    for thread in [*readers, *writers]:
        thread.join()
    assert not failures and all(searches)
    engine.close()
    with open_engine(tmp_path, width, kind=kind) as recovered:
        for held in (engine.index, recovered.index):
            assert len(held) == len(state) + len(anchors)
            found = held.search(query[None], len(held), [()])[0]
            assert {hit.item_id: int(hit.title) for hit in found if hit.item_id not in anchors} == state


@pytest.mark.parametrize("kind", ["ah", "tree_ah"])
def test_a_search_goes_on_until_it_has_k_items_that_are_not_excluded(tmp_path, kind):
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(1500, 8)).astype(np.float32)
    items = {f"i{number}": vector for number, vector in enumerate(vectors)}
    with open_engine(tmp_path, 8, kind=kind) as engine:
        engine.write(upsert_of(items, vectors))
        engine.rebalance()
        query = generator.normal(size=8).astype(np.float32)
        ranked = [item_id for _, item_id in best(items, query, 1500)]
        # The best 1490 are barred: the ten worst are all that may come back, from whatever leaf.
        for excluded, k, expected in (
            (ranked[:1490], 10, ranked[1490:]),
            (ranked[:1490], 50, ranked[1490:]),
            (ranked, 5, []),
        ):
            hits = engine.index.search(np.stack([query, query]), k, [set(excluded), set(ranked[:3])])
            assert [hit.item_id for hit in hits[0]] == expected
            assert len(hits[1]) == k and not set(ranked[:3]) & {hit.item_id for hit in hits[1]}
        # Nothing left, and something again.
        engine.write(Delete(tuple(items)))
        assert engine.index.search(query[None], 5, [()]) == [[]]
        engine.write(upsert_of(["back"], vectors[:1]))
        assert [hit.item_id for hit in engine.index.search(query[None], 5, [()])[0]] == ["back"]


@pytest.mark.parametrize("kind", ["ah", "tree_ah"])
def test_an_upsert_is_found_at_once_and_recall_is_that_of_a_new_index(tmp_path, kind):
    generator = np.random.default_rng(2)
    centres = (generator.normal(size=(40, 16)) * 2).astype(np.float32)
    vectors = centres[generator.integers(40, size=2500)] + generator.normal(size=(2500, 16)).astype(np.float32)
    ids = [f"i{number}" for number in range(2500)]
    items = {f"i{number}": vector for number, vector in enumerate(vectors) if number % 5}

    def recall() -> float:
        found = 0
        for query in vectors[:200:4]:
            hits = engine.index.search(query[None], 10, [()])[0]
            assert all(abs(hit.score - items[hit.item_id] @ query) < 1e-3 for hit in hits)
            found += len({item_id for _, item_id in best(items, query, 10)} & {hit.item_id for hit in hits})
        return found / 500

    changed, rebuilt, found_at_once = [], [], []
    # ScaNN draws the centres of a tree from a source without a seed, and now and then a tree leads a query past the
    # leaf of its best item: only several trees together are to be judged.
    for number in range(6):
        with open_engine(tmp_path / str(number), 16, kind=kind) as engine:
            # What the index is built from is other than what it holds in the end: half is replaced, some go, some come.
            engine.write(upsert_of(ids[:1500], generator.permutation(vectors)[:1500]))
            engine.rebalance()
            engine.write(upsert_of(ids, vectors))
            engine.write(Delete(tuple(ids[::5])))
            engine.write(upsert_of(["new"], centres[:1] * 3))
            # Asked for all items, a search looks into every leaf.
            assert engine.index.search(centres[:1], len(engine.index), [()])[0][0].item_id == "new"
            found_at_once.append(engine.index.search(centres[:1], 1, [()])[0][0].item_id == "new")
            engine.write(Delete(("new",)))
            changed.append(recall())
            engine.rebalance()
            rebuilt.append(recall())
    assert sum(found_at_once) >= (6 if kind == "ah" else 3)
    assert np.mean(changed) > np.mean(rebuilt) - 0.1


def test_maintenance_is_done_when_it_is_due(tmp_path):
    vectors = np.random.default_rng(3).normal(size=(2000, 4))
    ids = [f"i{number}" for number in range(1200)]
    options = {"snapshot_log_bytes": 20_000, "rebalance_fraction": 0.3, "poll_seconds": 0.01, "keep_snapshots": 1}
    with open_engine(tmp_path, 4, kind="ah", **options) as engine:
        engine.write(upsert_of(ids[:100], vectors[:100]))
        assert engine.status().kind == "brute"
        # There are enough now to learn a hash from.
        engine.write(upsert_of(ids, vectors[:1200]))
        wait_until(lambda: engine.status().kind == "ah")
        wait_until(lambda: engine.status().log_bytes < 20_000)
        assert engine.status().items == 1200
        before = engine.index
        engine.write(upsert_of(ids[:500], vectors[1200:1700]))
        wait_until(lambda: engine.index is not before and engine.status().changed == 0)
        assert len(snapshots(tmp_path / "snapshots")) == 1


def wait_until(condition) -> None:
    waiting = threading.Event()
    for _ in range(3000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("not within 30 s")


def test_a_folder_serves_one_process_one_width_and_one_model(tmp_path):
    with open_engine(tmp_path, WIDTH) as engine:
        engine.write(upsert_of(["a"], np.ones((1, WIDTH))))
        with pytest.raises(InputError, match="another retrieval service is using it"):
            open_engine(tmp_path, WIDTH)
    with pytest.raises(InputError, match="holds item vectors with width 3, the service was started for 4"):
        open_engine(tmp_path, 4)
    with pytest.raises(InputError, match="model_version '', the service was started for '7'"):
        Store(str(tmp_path), width=WIDTH, model_version="7")


@pytest.mark.parametrize("name", ["vectors.npy", "items.parquet", "manifest.json"])
def test_a_damaged_snapshot_is_refused_by_name(tmp_path, name):
    with open_engine(tmp_path, WIDTH) as engine:
        engine.write(upsert_of(["a", "b"], np.ones((2, WIDTH))))
        _, path = engine.snapshot()
    damaged = pathlib.Path(path) / name
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    with pytest.raises(InputError, match=name):
        open_engine(tmp_path, WIDTH)
