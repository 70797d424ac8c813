"""Splits of events into training histories and held-out targets."""

from __future__ import annotations

import numpy as np

from h2rec_tf.data.events import Events
from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import InputError

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
    starts = events.starts
    ends = np.append(starts[1:], len(events))
    held_out = ends - starts >= _LEAST_EVENTS
    if not held_out.any():
        raise InputError(
            f"split leave_one_out: no user has {_LEAST_EVENTS} interactions, so nothing can be held out; "
            "use --split temporal or give more interactions"
        )
    train = _sequences(events, starts, ends - 2 * held_out)
    starts, ends = starts[held_out], ends[held_out]
    validation = Holdout(_sequences(events, starts, ends - 2), events.items[ends - 2])
    test = Holdout(_sequences(events, starts, ends - 1), events.items[ends - 1])
    return train, validation, test


def temporal(events: Events, *, validation_fraction: float, test_fraction: float) -> tuple[Sequences, Holdout, Holdout]:
    """The latest events are held out, by two points in time that are the same for all users.

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
    first_test = _time_at(events, 1.0 - test_fraction)
    first_validation = min(_time_at(events, 1.0 - test_fraction - validation_fraction), first_test)
    in_test = events.timestamps >= first_test if test_fraction else np.zeros(len(events), bool)
    held_out = events.timestamps >= first_validation if validation_fraction else in_test
    if held_out.all():
        raise InputError(
            f"split temporal: validation_fraction {validation_fraction} and test_fraction {test_fraction} leave no "
            "interaction to train on (events at one time stay together); lower them or use --split leave_one_out"
        )
    starts = events.starts
    of_event = np.repeat(starts, np.diff(np.append(starts, len(events))))
    train_ends = np.add.reduceat(~held_out, starts, dtype=np.int64) + starts
    has_train = train_ends > starts
    train = _sequences(events, starts[has_train], train_ends[has_train])
    parts = []
    for rows in (np.flatnonzero(held_out & ~in_test), np.flatnonzero(in_test)):
        parts.append(Holdout(_sequences(events, of_event[rows], rows), events.items[rows]))
    return train, parts[0], parts[1]


def _time_at(events: Events, share: float) -> int:
    """The timestamp below which at most this share of the events lies."""
    place = min(max(round(share * len(events)), 0), len(events) - 1)
    return int(np.partition(events.timestamps, place)[place])


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
    return Sequences(events.user_ids[events.users[starts]], events.items[places], offsets, events.timestamps[places])
