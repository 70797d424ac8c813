"""Columns of JSON values as Arrow arrays: one kind a column, or text of whatever is like text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from h2rec_tf.data.arrow_columns import shown

# Kinds of JSON values. Those of one set can stand in one column.
_TEXT, _INTEGER, _REAL = "text", "an integer", "a decimal number"
_NUMBERS, _EMPTY, _OTHER = "a list of numbers", "an empty list", "another kind of value"
_TOGETHER = ({_TEXT, _INTEGER}, {_INTEGER, _REAL}, {_NUMBERS, _EMPTY}, {_OTHER})
# In a list of texts as one text, between its parts; a text column shows blanks, a category column the single names.
_BETWEEN = "|"
_ODD = object()


@dataclasses.dataclass
class RequiredKinds:
    """What kinds of values a column holds that rows need: the kind that most rows have decides how it is read.

    Attributes:
        counts: kind -> number of values.
        plain: every value is text or absent.
        wide: some integer does not fit 64 bits.
    """

    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    plain: bool = True
    wide: bool = False

    def add(self, values: list[Any]) -> None:
        """Counts more values of the column."""
        if set(map(type, values)) <= {str, type(None)}:
            texts = len(values) - values.count(None)
            if texts:
                self.counts[_TEXT] = self.counts.get(_TEXT, 0) + texts
            return
        self.plain = False
        for value in values:
            if value is None:
                continue
            kind = _kind(value)
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.wide |= kind == _INTEGER and not _fits(value)

    def column(self, values: list[Any]) -> tuple[pa.ChunkedArray, dict[int, str]]:
        """An Arrow array, null where a value's kind does not go with most others, and a message for each of those."""
        if self.plain:
            return _strings(values)
        group = max(_TOGETHER, key=lambda together: sum(self.counts.get(kind, 0) for kind in together))
        main = max((kind for kind in self.counts if kind in group), key=self.counts.__getitem__)
        odd: dict[int, str] = {}
        fitting = list(values)
        for place, value in enumerate(values):
            if value is not None and _kind(value) not in group:
                odd[place] = f"{json.dumps(value)[:60]} where other rows hold {main}"
                fitting[place] = None
        array, unwritable = _typed(fitting, {kind for kind in self.counts if kind in group}, self.wide)
        return array, unwritable | odd


class DescribingColumn:
    """Values of a column that may describe items: one that is odd costs itself, never its row.

    Text and lists of text are text, and so are numbers beside them. Objects, lists of objects and of numbers, and
    true and false are odd.

    Attributes:
        odd: values that are left out.
        sample: the first of them.
    """

    def __init__(self, rows: int):
        """Args:
        rows: that came before the first one with this column.
        """
        self._values: list[Any] = [None] * rows
        self.odd = 0
        self.sample = ""

    def extend(self, values: Iterable[Any]) -> None:
        """Adds values; nothing is kept of odd ones."""
        self._values.extend(map(self._kept, values))

    def column(self) -> pa.ChunkedArray | None:
        """Strings, lists of strings or numbers, null where there is nothing; None if odd values are all there is."""
        values = self._values
        kinds = set(map(type, values)) - {type(None)}
        if not kinds and self.odd:
            return None
        if kinds == {list}:
            return pa.chunked_array([pa.array(values, pa.list_(pa.string()))])
        if kinds <= {int, float} and kinds:
            if float in kinds:
                return pa.chunked_array([pa.array([_as_float(value) for value in values], pa.float64())])
            if all(_fits(value) for value in values if value is not None):
                return pa.chunked_array([pa.array(values, pa.int64())])
        return pa.chunked_array([pa.array([_one_text(value) for value in values], pa.string())])

    @property
    def is_text(self) -> bool:
        """Whether some value is text or a list of text."""
        return any(type(value) in (str, list) for value in self._values)

    def _kept(self, value: Any) -> Any:
        if value is None:
            return None
        kept: Any = _ODD
        if type(value) is str:
            kept = value if _is_unicode(value) else _ODD
        elif type(value) in (int, float):
            kept = value
        elif type(value) is list:
            kept = _texts(value)
        if kept is _ODD:
            self.odd += 1
            self.sample = self.sample or shown(json.dumps(value))
            return None
        return kept


def _texts(values: list[Any]) -> Any:
    """A list's texts, with numbers beside them; None where nothing is in it."""
    parts = [value for value in values if value is not None]
    if not parts:
        return None
    if not all(type(part) in (str, int, float) for part in parts) or not any(type(part) is str for part in parts):
        return _ODD
    texts = list(map(str, parts))
    return texts if all(map(_is_unicode, texts)) else _ODD


def _one_text(value: Any) -> str | None:
    if type(value) is list:
        return _BETWEEN.join(part.replace(_BETWEEN, " ") for part in value)
    return value if value is None else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, bool):
        return _OTHER
    if isinstance(value, int):
        return _INTEGER
    if isinstance(value, float):
        return _REAL
    if isinstance(value, list):
        if not value:
            return _EMPTY
        if all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in value):
            return _NUMBERS
    return _OTHER


def _typed(values: list[Any], kinds: set[str], wide: bool) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """An Arrow array of values whose kinds go together, and a message for each that Arrow cannot hold."""
    if kinds == {_INTEGER} and not wide:
        return pa.chunked_array([pa.array(values, pa.int64())]), {}
    if _REAL in kinds:
        return pa.chunked_array([pa.array([_as_float(value) for value in values], pa.float64())]), {}
    if kinds & {_TEXT, _INTEGER}:
        return _strings([value if value is None else str(value) for value in values])
    if kinds & {_NUMBERS, _EMPTY}:
        lists = [value if value is None else [_as_float(part) for part in value] for value in values]
        return pa.chunked_array([pa.array(lists, pa.list_(pa.float64()))]), {}
    return pa.chunked_array([pa.array([value if value is None else True for value in values], pa.bool_())]), {}


def _strings(values: list[str | None]) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """A string array; half a surrogate pair, which JSON's escapes can spell, is not text."""
    try:
        return pa.chunked_array([pa.array(values, pa.string())]), {}
    except UnicodeEncodeError:
        odd = {}
        for place, value in enumerate(values):
            if value is not None and not _is_unicode(value):
                odd[place] = f"half a surrogate pair in {json.dumps(value)[:60]}"
        kept = [None if place in odd else value for place, value in enumerate(values)]
        return pa.chunked_array([pa.array(kept, pa.string())]), odd


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _as_float(value: Any) -> float | None:
    """A float, infinite where an integer is too large for one."""
    try:
        return None if value is None else float(value)
    except OverflowError:
        return math.inf
