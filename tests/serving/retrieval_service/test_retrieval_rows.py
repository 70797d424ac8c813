"""Rows: a frozen moment stays as it was while items come and go."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.retrieval_service import rows as rows_module
from serving.retrieval_service.rows import Rows


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    start=st.integers(0, 40),
    chunk=st.integers(1, 9),
    steps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=80),
    reads=st.lists(st.booleans(), max_size=80),
)
def test_a_frozen_moment_is_read_as_it_was(start, chunk, steps, reads):
    with _small_blocks(8):
        generator = np.random.default_rng(0)
        first = generator.normal(size=(start, 2)).astype(np.float32)
        ids = [f"i{number}" for number in range(start)]
        rows = Rows(2, ids, [""] * start, first.copy())
        frozen = rows.freeze()
        chunks, read = frozen.chunks(chunk), []
        held = dict(zip(ids, first, strict=True))
        for (number, added), now in zip(steps, [*reads, *[False] * len(steps)], strict=False):
            if added:
                written = [f"i{number + place}" for place in range(added)]
                vectors = generator.normal(size=(added, 2)).astype(np.float32)
                known = rows.upsert(written, [f"title of {item_id}" for item_id in written], vectors)
                assert [row is not None for row in known] == [item_id in held for item_id in written]
                held.update(zip(written, vectors, strict=True))
            else:
                rows.delete(f"i{number}")
                held.pop(f"i{number}", None)
            if now and (piece := next(chunks, None)) is not None:
                read.append(piece)
        read += list(chunks)
        rows.thaw()
        assert np.array_equal(np.concatenate([np.empty((0, 2)), *read]), first)
        assert frozen.item_ids == ids
        assert dict(zip(rows.item_ids, rows.matrix().tolist(), strict=True)) == {
            item_id: vector.tolist() for item_id, vector in held.items()
        }
        assert all(rows.item_ids[rows.row(item_id)] == item_id for item_id in held)


class _small_blocks:
    """Blocks of a few rows, so that a handful of items crosses their borders."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._before, rows_module.BLOCK_ROWS = rows_module.BLOCK_ROWS, self._size

    def __exit__(self, *unused: object) -> None:
        rows_module.BLOCK_ROWS = self._before
