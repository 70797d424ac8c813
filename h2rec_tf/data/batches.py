"""Training batches: windows of histories, bucketed by length so that little padding is computed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from h2rec_tf.data.sequences import Sequences

# Batches sorted together: enough for near-equal lengths inside a batch, few enough to stay random.
_POOL = 64


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """Random batches of one epoch after another, the same for the same seed and epoch.

    Histories longer than `max_length + 1` items are cut from the end into windows that share one item, so every
    interaction but a user's first is a target once an epoch.

    Attributes:
        sequences: the training split.
        max_length: items of history the model reads.
        batch_size: windows in a batch at most.
        seed: of the order.
        bucketed: False pads every batch to `max_length + 1` (for comparison only).
        min_steps: an epoch is as many passes over the windows as make at least so many batches.
        max_positions: positions in a batch at most, padding counted (one window always fits), so that long histories
            make as many steps of as many targets as short ones; 0 sets no such limit.
    """

    sequences: Sequences
    max_length: int
    batch_size: int
    seed: int = 0
    bucketed: bool = True
    min_steps: int = 0
    max_positions: int = 0

    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 starts and ends `[W]` of all windows in `sequences.items`; each has 2..max_length + 1 items."""
        starts, ends = self.sequences.offsets[:-1], self.sequences.offsets[1:]
        counts = np.maximum(-(-(ends - starts - 1) // self.max_length), 0)
        user = np.repeat(np.arange(len(counts)), counts)
        first = np.cumsum(counts) - counts
        back = (np.arange(counts.sum()) - first[user]) * self.max_length
        window_ends = ends[user] - back
        return np.maximum(starts[user], window_ends - self.max_length - 1), window_ends

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """Yields int32 `[B, T + 1]` left-padded batches of epoch `number`."""
        for turn in range(number * self._passes, (number + 1) * self._passes):
            yield from self._pass(turn)

    def _pass(self, number: int) -> Iterator[np.ndarray]:
        starts, ends = self.windows()
        for rows in self._batches(number, ends - starts):
            width = int((ends - starts)[rows].max()) if self.bucketed else self.max_length + 1
            positions = ends[rows][:, None] - np.arange(width, 0, -1)[None, :]
            real = positions >= starts[rows][:, None]
            yield np.where(real, self.sequences.items[np.where(real, positions, 0)], 0).astype(np.int32)

    def _batches(self, number: int, lengths: np.ndarray) -> list[np.ndarray]:
        """Windows of each batch of pass `number`, in random order."""
        generator = np.random.default_rng([self.seed, number])
        order = generator.permutation(len(lengths))
        batches = []
        pool = _POOL * self.batch_size if self.bucketed else max(len(order), 1)
        for begin in range(0, len(order), pool):
            part = order[begin : begin + pool]
            if self.bucketed:
                # The longest first: a batch's width is that of its first window.
                part = part[np.argsort(-lengths[part], kind="stable")]
            first = 0
            while first < len(part):
                width = lengths[part[first]] if self.bucketed else self.max_length + 1
                fitting = self.max_positions // int(width) if self.max_positions else self.batch_size
                count = max(1, min(self.batch_size, fitting))
                batches.append(part[first : first + count])
                first += count
        return [batches[index] for index in generator.permutation(len(batches))]

    def __len__(self) -> int:
        """Batches of the first epoch; of the others about as many, exactly so without `max_positions`."""
        return self._passes * self._first_pass

    @functools.cached_property
    def _first_pass(self) -> int:
        starts, ends = self.windows()
        return len(self._batches(0, ends - starts))

    @functools.cached_property
    def _passes(self) -> int:
        return max(1, -(-self.min_steps // max(self._first_pass, 1)))
