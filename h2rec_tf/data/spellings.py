"""How the times of rows are spelled, counted for each part of the data so that the counts of parts add up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from h2rec_tf.data.decimals import BILLION
from h2rec_tf.data.timestamps import SPELLINGS, Times


@dataclasses.dataclass(frozen=True)
class Found:
    """How often something was found.

    Attributes:
        count: how often.
        example: one of the finds as text; the least of the parts' examples, so that their order does not matter.
    """

    count: int = 0
    example: str = ""

    def __add__(self, other: Found) -> Found:
        examples = [part.example for part in (self, other) if part.count]
        return Found(self.count + other.count, min(examples, default=""))


@dataclasses.dataclass(frozen=True)
class SpellingTally:
    """How the times of rows are spelled.

    Attributes:
        spellings: spelling -> rows and a value.
        first: spelling -> position of its first row in the table that was counted.
        finer: rows whose digits below a nanosecond were cut.
        digits: rows whose time in seconds reads as a date in eight digits, as 20120403.
    """

    spellings: dict[str, Found]
    first: dict[str, int]
    finer: Found
    digits: Found

    @classmethod
    def of(cls, times: Times, values: pa.ChunkedArray, kept: np.ndarray) -> SpellingTally:
        """Counts the rows at int `kept` `[m]` of `values` `[n]`, which were read as `times`."""
        spelling = times.spelling[kept]

        def found(which: np.ndarray) -> Found:
            places = np.flatnonzero(which)
            return Found(len(places), str(values[int(kept[places[0]])].as_py())[:60]) if len(places) else Found()

        counts = np.bincount(spelling, minlength=len(SPELLINGS))
        present = {SPELLINGS[kind]: spelling == kind for kind in np.flatnonzero(counts)}
        return cls(
            {name: found(which) for name, which in present.items()},
            {name: int(kept[np.argmax(which)]) for name, which in present.items()},
            found(times.finer[kept]),
            found(_eight_digits(times.nanoseconds[kept], spelling)),
        )

    def __add__(self, other: SpellingTally) -> SpellingTally:
        names = [name for name in SPELLINGS if name in self.spellings or name in other.spellings]
        return SpellingTally(
            {name: self.spellings.get(name, Found()) + other.spellings.get(name, Found()) for name in names},
            {},
            self.finer + other.finer,
            self.digits + other.digits,
        )


def _eight_digits(nanoseconds: np.ndarray, spelling: np.ndarray) -> np.ndarray:
    """bool `[n]`, True where a number of seconds reads as year, month and day."""
    seconds, rest = np.divmod(nanoseconds, BILLION)
    month, day = seconds // 100 % 100, seconds % 100
    year = seconds // 10_000
    dated = (year >= 1900) & (year <= 2100) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return dated & (rest == 0) & (spelling == 0)
