"""The items in row order, as ScaNN numbers them: ids, titles and vectors in this process's memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# Rows of a block. Growth adds a block and moves nothing.
BLOCK_ROWS = 1 << 14


class Rows:
    """Items numbered 0..n-1 without gaps. Deleting moves the last row into the free place, as ScaNN does.

    Not safe for threads: the owner locks.

    Args:
        width: D.
        item_ids: n ids to start with, each once.
        titles: their titles.
        vectors: float32 `[n, D]`, kept and written to (a private memory map is fine).
    """

    def __init__(
        self,
        width: int,
        item_ids: Sequence[str] = (),
        titles: Sequence[str] = (),
        vectors: np.ndarray | None = None,
    ) -> None:
        self.width = width
        self.item_ids = list(item_ids)
        self.titles = list(titles)
        self._row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        whole = len(self.item_ids) // BLOCK_ROWS * BLOCK_ROWS
        self._blocks: list[np.ndarray] = []
        if vectors is not None:
            self._blocks = [vectors[start : start + BLOCK_ROWS] for start in range(0, whole, BLOCK_ROWS)]
            if whole < len(vectors):
                block = self._grow()
                block[: len(vectors) - whole] = vectors[whole:]
        self._frozen: FrozenRows | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._row_of

    def row(self, item_id: str) -> int | None:
        """The item's row, None for an unknown id."""
        return self._row_of.get(item_id)

    def vector(self, row: int) -> np.ndarray:
        """float32 `[D]`; a view that a later write may change."""
        block, place = self.block(row)
        return block[place]

    def block(self, row: int) -> tuple[np.ndarray, int]:
        """The block that holds a row, float32 `[<= BLOCK_ROWS, D]`, and the row's place in it."""
        return self._blocks[row // BLOCK_ROWS], row % BLOCK_ROWS

    def matrix(self) -> np.ndarray:
        """float32 `[n, D]`, a copy."""
        result = np.empty((len(self), self.width), np.float32)
        for start, block in zip(range(0, len(self), BLOCK_ROWS), self._blocks, strict=False):
            result[start : start + BLOCK_ROWS] = block[: len(self) - start]
        return result

    def upsert(self, item_ids: Sequence[str], titles: Sequence[str], vectors: np.ndarray) -> list[int | None]:
        """Writes items.

        Args:
            item_ids: n ids, each once.
            titles: n titles.
            vectors: float32 `[n, D]`.

        Returns:
            For each its row where it was there before, None where it now stands in a new row behind the ones before.
        """
        known = [self._row_of.get(item_id) for item_id in item_ids]
        new = [place for place, row in enumerate(known) if row is None]
        for place, row in enumerate(known):
            if row is not None:
                self.titles[row] = titles[place]
                self._write(row, vectors[place])
        # New rows lie one behind the other: whole pieces of blocks are written at once.
        first = len(self.item_ids)
        self._row_of.update((item_ids[place], row) for row, place in enumerate(new, start=first))
        self.item_ids += [item_ids[place] for place in new]
        self.titles += [titles[place] for place in new]
        written = 0
        while written < len(new):
            row = first + written
            if row == len(self._blocks) * BLOCK_ROWS:
                self._grow()
            block, begin = self.block(row)
            piece = new[written : written + BLOCK_ROWS - begin]
            target = block[begin : begin + len(piece)]
            if self._frozen is not None:
                # After deletes, a row that was there in the frozen moment is used again.
                for number, vector in enumerate(target, start=row):
                    self._frozen.keep(number, vector)
            target[:] = vectors[piece]
            written += len(piece)
        return known

    def delete(self, item_id: str) -> int | None:
        """Takes one item out.

        Returns:
            The row that it had and that the last row's item now has; None for an unknown id.
        """
        row = self._row_of.pop(item_id, None)
        if row is None:
            return None
        last = len(self.item_ids) - 1
        if row != last:
            self.item_ids[row], self.titles[row] = self.item_ids[last], self.titles[last]
            self._row_of[self.item_ids[row]] = row
            self._write(row, self.vector(last))
        del self.item_ids[last], self.titles[last]
        return row

    def freeze(self) -> FrozenRows:
        """What the rows hold now, to be read piece by piece while they change; one at a time."""
        self._frozen = FrozenRows(self)
        return self._frozen

    def thaw(self) -> None:
        """Ends the life of what `freeze` gave."""
        self._frozen = None

    def _grow(self) -> np.ndarray:
        block = np.empty((BLOCK_ROWS, self.width), np.float32)
        self._blocks.append(block)
        return block

    def _write(self, row: int, vector: np.ndarray) -> None:
        place = self.vector(row)
        if self._frozen is not None:
            self._frozen.keep(row, place)
        place[:] = vector


class FrozenRows:
    """The items of one moment. `keep` saves a vector that is about to be written over and has not been read."""

    def __init__(self, rows: Rows) -> None:
        self.item_ids = list(rows.item_ids)
        self.titles = list(rows.titles)
        self._rows = rows
        self._read = 0
        self._kept: dict[int, np.ndarray] = {}

    def keep(self, row: int, vector: np.ndarray) -> None:
        """Saves float32 `[D]` of a row, if it is the frozen one and still wanted."""
        if self._read <= row < len(self.item_ids) and row not in self._kept:
            self._kept[row] = vector.copy()

    def chunks(self, size: int = 4096) -> Iterator[np.ndarray]:
        """Yields float32 `[<= size, D]` in row order. The owner's lock is held while the iterator advances."""
        # A block is never given back, so rows deleted since are still where they were, or kept.
        while self._read < len(self.item_ids):
            block, begin = self._rows.block(self._read)
            chunk = block[begin : begin + min(size, len(self.item_ids) - self._read)].copy()
            if self._kept:
                for place in range(len(chunk)):
                    kept = self._kept.pop(self._read + place, None)
                    if kept is not None:
                        chunk[place] = kept
            self._read += len(chunk)
            yield chunk
