"""The two points in time of the temporal split, exact, by counting digits: no step holds the timestamps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
from apache_beam import pvalue

from h2rec_tf.data.events import Events
from h2rec_tf.data.splits import cut_ranks

# Timestamps are 63-bit numbers; each round finds the next 16 bits of both cuts.
_BITS = 16
_ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class Cuts:
    """What is known of the first validation time and the first test time.

    Attributes:
        times: the leading digits; after the last round, the times. None without events.
        ranks: places among the timestamps with these digits.
    """

    times: tuple[int, int] | None = (0, 0)
    ranks: tuple[int, int] = (-1, -1)


def temporal_cuts(events: beam.PCollection, *, validation_fraction: float, test_fraction: float) -> beam.PCollection:
    """`(shard, Events)` -> one `Cuts`: the times that `h2rec_tf.data.splits.temporal` finds by sorting all.

    A rank's timestamp is found as in radix sort: count the events by their leading digit, descend into the digit that
    holds the rank, and again.
    """
    cuts = events.pipeline | "NoDigits" >> beam.Create([Cuts()])
    for number in range(_ROUNDS):
        shift = _BITS * (_ROUNDS - 1 - number)
        counts = (
            events
            | f"CountDigits{number}" >> beam.FlatMap(_digit_counts, shift, pvalue.AsSingleton(cuts))
            | f"SumDigits{number}" >> beam.CombineGlobally(sum).without_defaults()
        )
        cuts = cuts | f"Descend{number}" >> beam.Map(
            _descend, pvalue.AsList(counts), validation_fraction, test_fraction
        )
    return cuts


def _digit_counts(element: tuple[int, Events], shift: int, cuts: Cuts) -> Iterator[np.ndarray]:
    """int64 `[2, 65536]`, events by digit among those with the digits of each cut."""
    times = element[1].timestamps
    if cuts.times is None or not len(times):
        return
    digits = (times >> shift) & ((1 << _BITS) - 1)
    # In Python: a shift by 64 bits is undefined in NumPy.
    above = times >> shift >> _BITS
    yield np.stack([np.bincount(digits[above == time], minlength=1 << _BITS) for time in cuts.times])


def _descend(cuts: Cuts, sums: list[np.ndarray], validation_fraction: float, test_fraction: float) -> Cuts:
    if not sums or cuts.times is None:
        return Cuts(times=None)
    counts = sums[0]
    ranks = cuts.ranks
    if ranks[0] < 0:
        ranks = cut_ranks(int(counts[0].sum()), validation_fraction=validation_fraction, test_fraction=test_fraction)
    times, rest = [], []
    for time, rank, row in zip(cuts.times, ranks, counts, strict=True):
        reached = np.cumsum(row)
        digit = int(np.searchsorted(reached, rank, side="right"))
        times.append(time << _BITS | digit)
        rest.append(rank - int(reached[digit] - row[digit]))
    return Cuts((times[0], times[1]), (rest[0], rest[1]))
