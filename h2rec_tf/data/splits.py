"""Splits of events into training histories and held-out targets."""

from __future__ import annotations

import numpy as np

from h2rec_tf.data.events import Events
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import InputError
from h2rec_tf.names import VALIDATION

# A user needs one item to train on, one to validate and one to test.
_LEAST_EVENTS = 3


def leave_one_out(events: Events) -> tuple[Sequences, Holdout, Holdout]:
    """Each user's last item is the test target and the one before it the validation target.

    The test history has the validation item. Users with one or two events are for training only, with all of them.

    Returns:
        Training histories, validation and test.

    Raises:
        InputError: no user has three events.
    """
    parts = last_items(events)
    if not len(parts[1]):
        raise nobody_to_hold_out()
    return parts


def nobody_to_hold_out() -> InputError:
    """The error of leave-one-out where all histories are too short."""
    return InputError(
        f"split leave_one_out: no user has {_LEAST_EVENTS} interactions, so nothing can be held out; "
        "use --split temporal or give more interactions"
    )


def last_items(events: Events) -> tuple[Sequences, Holdout, Holdout]:
    """As `leave_one_out`, for any part of the users; nobody need have three events."""
    starts = events.starts
    ends = np.append(starts[1:], len(events))
    held_out = ends - starts >= _LEAST_EVENTS
    train = _sequences(events, starts, ends - 2 * held_out)
    starts, ends = starts[held_out], ends[held_out]
    validation = Holdout(_sequences(events, starts, ends - 2), events.items[ends - 2])
    test = Holdout(_sequences(events, starts, ends - 1), events.items[ends - 1])
    return train, validation, test


def temporal(events: Events, *, validation_fraction: float, test_fraction: float) -> tuple[Sequences, Holdout, Holdout]:
    """The latest events are held out, by two points in time that are the same for all users.

    Without times the points are places of rows: the last rows are held out.

    Every held-out event is one row: its item is the target, and all that its user did before is the history, also what
    was itself held out earlier. A user's first event has an empty history. Events at one time are never divided, so the
    shares are met as nearly as ties allow, and rather exceeded than missed.

    Args:
        events: all of them.
        validation_fraction: share of all events, just before the test ones.
        test_fraction: share of all events, the latest.

    Returns:
        Training histories, validation and test. Memory grows with the sum of the held-out histories' lengths.

    Raises:
        InputError: the shares leave nothing to train on.
    """
    ranks = cut_ranks(len(events), validation_fraction=validation_fraction, test_fraction=test_fraction)
    first_validation, first_test = (int(np.partition(events.timestamps, rank)[rank]) for rank in ranks)
    parts = since(
        events,
        first_validation=first_validation if validation_fraction else None,
        first_test=first_test if test_fraction else None,
    )
    if not len(parts[0]):
        raise nothing_to_train_on(validation_fraction=validation_fraction, test_fraction=test_fraction)
    return parts


def cut_ranks(count: int, *, validation_fraction: float, test_fraction: float) -> tuple[int, int]:
    """Places, among `count` times in order, of the first validation time and of the first test time."""
    shares = (1.0 - test_fraction - validation_fraction, 1.0 - test_fraction)
    validation, test = (min(max(round(share * count), 0), count - 1) for share in shares)
    return min(validation, test), test


def nothing_to_train_on(*, validation_fraction: float, test_fraction: float) -> InputError:
    """The error of the temporal split where all events are held out."""
    return InputError(
        f"split temporal: validation_fraction {validation_fraction} and test_fraction {test_fraction} leave no "
        "interaction to train on (events at one time stay together); lower them or use --split leave_one_out"
    )


def nobody_to_train_on() -> InputError:
    """The error of training where no history has two items."""
    return InputError(
        "training: no user has two or more items in the training split; check the split and k-core options"
    )


def empty_split(source: str, split: str) -> InputError:
    """The pipeline's error on a held-out split without an example."""
    return InputError(
        f"{source}: split {split} has no example, and the model is {'chosen' if split == VALIDATION else 'measured'} "
        f"on it; raise --{split}-fraction or use --split leave_one_out"
    )


def since(
    events: Events, *, first_validation: int | None, first_test: int | None
) -> tuple[Sequences, Holdout, Holdout]:
    """As `temporal`, for any part of the users and with the two points in time given; None holds nothing out.

    Validation ends where the test begins.
    """
    if not len(events):
        nothing = _sequences(events, np.zeros(0, np.int64), np.zeros(0, np.int64))
        return nothing, Holdout(nothing, events.items), Holdout(nothing, events.items)
    never = np.zeros(len(events), bool)
    in_test = never if first_test is None else events.timestamps >= first_test
    held_out = in_test if first_validation is None else events.timestamps >= first_validation
    starts = events.starts
    of_event = np.repeat(starts, np.diff(np.append(starts, len(events))))
    train_ends = np.add.reduceat(~held_out, starts, dtype=np.int64) + starts
    has_train = train_ends > starts
    train = _sequences(events, starts[has_train], train_ends[has_train])
    parts = []
    for rows in (np.flatnonzero(held_out & ~in_test), np.flatnonzero(in_test)):
        parts.append(Holdout(_sequences(events, of_event[rows], rows), events.items[rows]))
    return train, parts[0], parts[1]


def _sequences(events: Events, starts: np.ndarray, ends: np.ndarray) -> Sequences:
    """Histories out of ranges of events.

    Args:
        events: all of them.
        starts: int `[U]`, an event of the history's user even where the range is empty.
        ends: int `[U]`, exclusive.
    """
    lengths = ends - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    times = events.timestamps[places] if events.timed else None
    return Sequences(events.user_ids[events.users[starts]], events.items[places], offsets, times)
