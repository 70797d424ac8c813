"""Doubts: what can be read, and may yet not be what its owner means. They are voiced, and nothing is refused."""

from __future__ import annotations

import dataclasses
import html
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from h2rec_tf.data.decimals import BILLION
from h2rec_tf.data.interactions import Columns
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.data.spellings import Found, SpellingTally
from h2rec_tf.data.tallies import ONE_ITEM_LENGTH, EventTally, IdTally
from h2rec_tf.data.timestamps import clock

_LOG = logging.getLogger(__name__)

PLACEHOLDER = "placeholder id"
BLANK_EDGES = "blank at the edge of ids"
ALIKE = "ids that look alike"
GIANT = "outlandish share"
ONE_ITEM = "history of one item"
SAME_TIME = "same time"
RATINGS = "ratings as times"
TIES = "many ties"
MIXED_UNITS = "mixed units"
MIXED_SPELLINGS = "mixed spellings"
DIGIT_DATES = "dates in digits"
CUT = "cut digits"
EARLY = "times near 1970"
FUTURE = "times in the future"
ENTITIES = "HTML entities"

# A placeholder with fewer events is no giant.
_FEW = 10
# A log is large from here on, and nobody has this share of it.
_LARGE, _MANY, _SHARE = 10_000, 1_000, 0.1
# Nor so many times what the next one has.
_TIMES_THE_NEXT = 20
# One user in so many may have a history of one item: somebody's favourite place.
_ONE_ITEM_USERS = 100
# From March 1973 on times are a clock's; below they may be places in a sequence.
_CLOCK = 10**8 * BILLION
_RATING = 100 * BILLION
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


@dataclasses.dataclass(frozen=True)
class Doubt:
    """Something to look at before the data is used.

    Attributes:
        file: path or query.
        column: its name, or "".
        kind: one of this module's constants.
        count: rows, ids or users that it is about.
        message: what was found.
        example: one of them, or "".
        remedy: what to do if it is a fault.
    """

    file: str
    column: str
    kind: str
    count: int
    message: str
    example: str
    remedy: str

    def __str__(self) -> str:
        column = f" column `{self.column}`:" if self.column else ""
        example = f", as {self.example}" if self.example else ""
        return f"{self.file}:{column} {self.message}{example}; {self.remedy}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


def voice(doubts: Iterable[Doubt]) -> None:
    """Logs doubts as warnings, a line each."""
    for doubt in doubts:
        _LOG.warning("warning: %s", doubt)


def about_interactions(
    events: EventTally,
    spellings: SpellingTally | None,
    *,
    item_ids: np.ndarray,
    file: str,
    columns: Columns,
    rows: dict[str, str] | None = None,
) -> list[Doubt]:
    """Doubts about who took what when.

    Args:
        events: of the whole data, before a k-core.
        spellings: of the times of all rows, or None without times.
        item_ids: `[N]`, the catalogue's.
        file: the interactions, for messages.
        columns: their names.
        rows: spelling -> the first row with it, where that is known.
    """
    counts = np.zeros(len(item_ids), np.int64)
    counts[: max(len(events.item_counts) - 1, 0)] = events.item_counts[1:]
    found: list[Doubt] = []
    for column, what, tally in (
        (columns.user, "user", events.users),
        (columns.item, "item", IdTally.of(item_ids, counts)),
    ):
        found.extend(_about_ids(tally, file, column, what))
    if events.one_item.count * _ONE_ITEM_USERS > events.users.ids:
        users = f"{events.one_item.count:,} users have" if events.one_item.count > 1 else "1 user has"
        message = f"{users} {ONE_ITEM_LENGTH} events or more, all of one item"
        remedy = "take them out if they are machines or repeats of one event"
        found.append(Doubt(file, columns.user, ONE_ITEM, *_counted(events.one_item, message), remedy))
    if columns.timestamp is not None and spellings is not None:
        found.extend(_about_spellings(spellings, file, columns.timestamp, rows or {}))
        found.extend(_about_times(events, file, columns.timestamp))
    return found


def about_catalogue(catalogue: Catalogue, *, file: str, title_column: str) -> list[Doubt]:
    """Doubts about titles."""
    odd = [title for title in catalogue.titles.tolist() if "&" in title and _has_entity(title)]
    if len(odd) <= len(catalogue) // 100:
        return []
    titles = f"{len(odd):,} titles hold" if len(odd) > 1 else "1 title holds"
    message = f"{titles} HTML entities, which are shown and learned as they stand"
    return [Doubt(file, title_column, ENTITIES, len(odd), message, repr(min(odd)[:60]), "decode them (html.unescape)")]


def _has_entity(title: str) -> bool:
    return any(html.unescape(entity) != entity for entity in _ENTITY.findall(title))


def _counted(found: Found, message: str) -> tuple[int, str, str]:
    return found.count, message, found.example


def _about_ids(tally: IdTally, file: str, column: str, what: str) -> Iterator[Doubt]:
    for name, count in sorted(tally.placeholders.items()):
        others = (tally.events - count) / max(tally.ids - 1, 1)
        if count >= _FEW and count > 2 * others:
            message = f"'{name}' is one {what} with {count:,} of {tally.events:,} events, and may stand for no value"
            yield Doubt(file, column, PLACEHOLDER, count, message, "", "take these rows out if it does")
    for kind, found, message, remedy in (
        (
            BLANK_EDGES,
            tally.edges,
            "{} {} with a blank (space) at an edge",
            "trim them if the blanks are not part of ids",
        ),
        (ALIKE, tally.alike, "{} {} that differ from another only by case or by blanks", "spell each id in one way"),
    ):
        if found.count:
            ids = f"{what} id" if found.count == 1 else f"{what} ids"
            yield Doubt(file, column, kind, *_counted(found, message.format(f"{found.count:,}", ids)), remedy)
    giant = tally.most >= _MANY and tally.next and tally.most > _TIMES_THE_NEXT * tally.next
    if (
        giant or (tally.events >= _LARGE and tally.most > _SHARE * tally.events)
    ) and tally.largest not in tally.placeholders:
        message = f"{what} '{tally.largest}' has {tally.most:,} of {tally.events:,} events, the next one {tally.next:,}"
        remedy = "take it out if it is a machine, a test or stands for many"
        yield Doubt(file, column, GIANT, tally.most, message, "", remedy)


def _about_spellings(tally: SpellingTally, file: str, column: str, rows: dict[str, str]) -> Iterator[Doubt]:
    kinds = tally.spellings
    if len(kinds) > 1:
        units = all(name.endswith("seconds") for name in kinds)
        what = "numbers in several units" if units else "times in several spellings"
        parts = ", ".join(
            f"{found.count:,} {name} (first {f'in {rows[name]}, ' if name in rows else ''}{found.example})"
            for name, found in kinds.items()
        )
        rest = sum(found.count for found in kinds.values()) - max(found.count for found in kinds.values())
        remedy = (
            "if the sizes mislead, name the unit (--time-unit)" if units else "spell all in one way if any is misread"
        )
        kind = MIXED_UNITS if units else MIXED_SPELLINGS
        yield Doubt(file, column, kind, rest, f"{what}, each read as it is: {parts}", "", remedy)
    if tally.finer.count:
        message = f"{tally.finer.count:,} times are finer than a nanosecond; the digits below it are cut"
        yield Doubt(
            file, column, CUT, *_counted(tally.finer, message), "round them where order within a nanosecond counts"
        )
    if tally.digits.count and tally.digits.count == sum(found.count for found in kinds.values()):
        message = "all times read as dates in eight digits, and are taken as seconds since 1970"
        yield Doubt(file, column, DIGIT_DATES, *_counted(tally.digits, message), "write dates as 2012-04-03")


def _about_times(tally: EventTally, file: str, column: str) -> Iterator[Doubt]:
    if tally.first is None or tally.last is None:
        return
    remedy = "--order-column names what orders them, --time none takes the order of rows; else a hash does"
    events = tally.users.events
    mostly_tied = 2 * tally.tied > tally.neighbours and tally.neighbours >= _FEW
    if tally.first == tally.last:
        if tally.neighbours:
            message = f"all {events:,} events have the same time, {clock(tally.first)}"
            yield Doubt(file, column, SAME_TIME, events, message, "", remedy)
    elif mostly_tied and tally.times is not None and tally.last <= _RATING:
        values = ", ".join(clock(time) for time in sorted(tally.times))
        message = f"all times are among {values}, which looks like ratings or flags"
        yield Doubt(file, column, RATINGS, events, message, "", "name the column of times with --timestamp-column")
    elif mostly_tied:
        message = f"{tally.tied:,} of {tally.neighbours:,} events have the same time as the user's event before"
        yield Doubt(file, column, TIES, tally.tied, message, "", remedy)
    if tally.last >= _CLOCK and tally.early:
        message = f"{tally.early:,} of {events:,} events are in 1970, the latest is {clock(tally.last)}"
        remedy = "take them out if their time is missing; name the unit (--time-unit) if they are counted in another"
        yield Doubt(file, column, EARLY, tally.early, message, "", remedy)
    if tally.late:
        message = f"{tally.late:,} of {events:,} events are in the future, the latest is {clock(tally.last)}"
        yield Doubt(file, column, FUTURE, tally.late, message, "", "check the unit (--time-unit) and the clocks")
