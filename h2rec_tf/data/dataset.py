"""From interactions and a catalogue to a split data set."""

from __future__ import annotations

import dataclasses

from h2rec_tf.data.events import Events, k_core, make_events
from h2rec_tf.data.interactions import Interactions
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.sequences import Catalogue, Dataset
from h2rec_tf.data.splits import leave_one_out, temporal
from h2rec_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class PreparedEvents:
    """Events that are ready to be split, and what was left out on the way.

    Attributes:
        matched: events with known items, before the k-core.
        core: after it.
        repeats: exact repeats.
        repeats_kept: whether they stayed.
        problems: rows with unknown items, after those that reading rejected.
    """

    matched: Events
    core: Events
    repeats: int
    repeats_kept: bool
    problems: Problems


def prepare_events(
    interactions: Interactions,
    catalogue: Catalogue,
    *,
    min_user_interactions: int,
    min_item_interactions: int,
    keep_repeats: bool = False,
) -> PreparedEvents:
    """Matches, sorts and filters; rejects nothing by count."""
    matched, repeats, unknown = make_events(interactions, catalogue, keep_repeats=keep_repeats)
    core = k_core(matched, min_user_interactions=min_user_interactions, min_item_interactions=min_item_interactions)
    problems = Problems()
    problems.extend(interactions.problems)
    problems.extend(unknown)
    return PreparedEvents(matched, core, repeats, keep_repeats, problems)


def split_events(
    events: Events, catalogue: Catalogue, *, split: str, validation_fraction: float, test_fraction: float
) -> Dataset:
    """Splits prepared events; arguments and errors as for `build_dataset`."""
    if not len(events):
        raise nothing_left()
    if split == "temporal":
        parts = temporal(events, validation_fraction=validation_fraction, test_fraction=test_fraction)
    elif split == "leave_one_out":
        parts = leave_one_out(events)
    else:
        raise InputError(f"split must be leave_one_out or temporal, got '{split}'")
    return Dataset(catalogue, *parts)


def nothing_left() -> InputError:
    """The error where no interaction can be split."""
    return InputError(
        "no interaction is left: the items file has none of the items, or the k-core drops all; check that both "
        "files spell ids alike, or lower --min-user-interactions and --min-item-interactions"
    )


def build_dataset(
    interactions: Interactions,
    catalogue: Catalogue,
    *,
    min_user_interactions: int = 0,
    min_item_interactions: int = 0,
    split: str = "leave_one_out",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    max_bad_rows: int | None = 0,
    keep_repeats: bool = False,
) -> Dataset:
    """Matches, filters and splits interactions.

    Rows with an item that the catalogue does not have are rejected. Order within a user is by time, then as `ordering`
    says, whatever the order of rows. The catalogue keeps all its items: one that the k-core drops, or that nobody took,
    is a cold item.

    Args:
        interactions: as read.
        catalogue: all items.
        min_user_interactions: k-core; a user with fewer is dropped.
        min_item_interactions: k-core; an item's events are dropped if it has fewer.
        split: `leave_one_out` or `temporal`, see `splits`.
        validation_fraction: temporal split only, share of all events.
        test_fraction: temporal split only, share of all events.
        max_bad_rows: rejected rows that are accepted, those of reading included; None sets no limit.
        keep_repeats: exact repeats (user, item, timestamp) stay; else the first of each is kept.

    Raises:
        InputError: more rows are rejected, or too little is left to split.
    """
    prepared = prepare_events(
        interactions,
        catalogue,
        min_user_interactions=min_user_interactions,
        min_item_interactions=min_item_interactions,
        keep_repeats=keep_repeats,
    )
    prepared.problems.enforce(max_bad_rows)
    return split_events(
        prepared.core,
        catalogue,
        split=split,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
    )
