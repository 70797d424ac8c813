"""The order of interactions: by user, then time, then a second key where there is one, then a hash.

Events of one user at one time have no order of their own. The hash of user id, time and item id gives them one that is
the same in every process and in whatever order rows come, that other items of the catalogue do not change, and that
differs from user to user: no item comes last more often than by chance.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

# What an int64 holds beside its sign.
_KEY_BITS = 63
# Units in which whole columns of times are often given: nanoseconds of a second, a millisecond, a microsecond.
_COMMON_UNITS = (10**9, 10**6, 10**3)


@dataclasses.dataclass(frozen=True)
class SecondKey:
    """What orders events of one user at one time: numbers `whole + billionths / 10^9`.

    Attributes:
        whole: int64 `[n]`.
        billionths: int64 `[n]`, 0 to 999,999,999.
    """

    whole: np.ndarray
    billionths: np.ndarray

    def take(self, places: np.ndarray) -> SecondKey:
        """The values at int `places` `[m]`, or where bool `places` `[n]` is True."""
        return SecondKey(self.whole[places], self.billionths[places])


def hash_ids(ids: np.ndarray) -> np.ndarray:
    """uint64 `[n]`, a hash of each string that is the same in every process."""
    return pd.util.hash_array(ids.astype(object), categorize=False) if len(ids) else np.zeros(0, np.uint64)


def in_order(
    users: np.ndarray,
    times: np.ndarray,
    items: np.ndarray,
    *,
    user_hashes: np.ndarray,
    item_hashes: np.ndarray,
    second: SecondKey | None,
    keep_repeats: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Sorts events and counts exact repeats (user, item, time).

    Args:
        users: int32 `[n]`, numbers in order of the user ids.
        times: int64 `[n]` nanoseconds.
        items: int32 `[n]`, item indices from 1.
        user_hashes: uint64 by user number.
        item_hashes: uint64 by item index - 1.
        second: orders events at one time before the hash does, or None.
        keep_repeats: repeats stay.

    Returns:
        Users, times and items in order, and how many repeats there were.
    """
    if second is None:
        users, times, items = _sorted(users, times, items)
        tied = _tied(users, times)
    else:
        order = _order(users, times, items)
        users, times, items, second = users[order], times[order], items[order], second.take(order)
        tied = _tied(users, times)
        places, runs = _ties(tied)
        # So that the first of equal events is the one that the second key has first.
        keys = second.take(places)
        order = places[np.lexsort((keys.billionths, keys.whole, items[places], runs))]
        items[places] = items[order]
        second.whole[places], second.billionths[places] = second.whole[order], second.billionths[order]
    repeated = tied.copy()
    repeated[1:] &= items[1:] == items[:-1]
    repeats = int(repeated.sum())
    if repeats and not keep_repeats:
        kept = ~repeated
        # The first event of a tie is never a repeat, so what is tied to another stays so.
        users, times, items, tied = users[kept], times[kept], items[kept], tied[kept]
        second = None if second is None else second.take(kept)
    _order_ties(users, times, items, tied, user_hashes=user_hashes, item_hashes=item_hashes, second=second)
    return users, times, items, repeats


def _order_ties(
    users: np.ndarray,
    times: np.ndarray,
    items: np.ndarray,
    tied: np.ndarray,
    *,
    user_hashes: np.ndarray,
    item_hashes: np.ndarray,
    second: SecondKey | None,
) -> None:
    """Reorders `items` in place where events are `tied` to the one before."""
    places, runs = _ties(tied)
    mixed = _mixed(user_hashes[users[places]] ^ _mixed(times[places].astype(np.uint64)))
    mixed = _mixed(mixed ^ item_hashes[items[places] - 1]) >> np.uint64(32)
    # Both sorts are stable and items ascend so far, so that equal hashes leave the order of the catalogue.
    if second is None:
        order = np.argsort(runs << 32 | mixed.astype(np.int64), kind="stable")
    else:
        keys = second.take(places)
        order = np.lexsort((mixed, keys.billionths, keys.whole, runs))
    items[places] = items[places[order]]


def _mixed(values: np.ndarray) -> np.ndarray:
    """uint64 `[n]`, each bit of the result depends on all of a value: the finalizer of SplitMix64."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _tied(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """bool `[n]`, True where user and time are those of the event before."""
    tied = np.zeros(len(users), bool)
    tied[1:] = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    return tied


def _ties(tied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 `[m]` places of events that share user and time with another, and int64 `[m]` numbers of their groups."""
    among = tied.copy()
    among[:-1] |= tied[1:]
    places = np.flatnonzero(among)
    return places, np.cumsum(~tied[places])


def _order(users: np.ndarray, times: np.ndarray, items: np.ndarray) -> np.ndarray:
    """int64 `[n]`, the permutation that sorts by user, then time, then item."""
    packed = _Packed.of(users, times, items) if len(users) else None
    return np.lexsort((items, times, users)) if packed is None else np.argsort(packed.keys)


def _sorted(users: np.ndarray, times: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays, rows ordered by user, then time, then item."""
    packed = _Packed.of(users, times, items) if len(users) else None
    if packed is None:
        order = np.lexsort((items, times, users))
        return users[order], times[order], items[order]
    packed.keys.sort()
    return packed.unpacked()


@dataclasses.dataclass(frozen=True)
class _Packed:
    """User, time and item in one number: sorting it is several times faster than sorting by three keys.

    Attributes:
        keys: int64 `[n]`, from the highest bits: user, time as a number of steps, item.
        time_bits: of the steps.
        item_bits: of the item.
        first: the time of step 0.
        step: the time between steps; unless
        distinct: int64, the time of each step.
    """

    keys: np.ndarray
    time_bits: int
    item_bits: int
    first: int
    step: int
    distinct: np.ndarray | None

    @classmethod
    def of(cls, users: np.ndarray, times: np.ndarray, items: np.ndarray) -> _Packed | None:
        """Packs at least one event; None where there are too many bits."""
        user_bits, item_bits = int(users.max()).bit_length(), int(items.max()).bit_length()
        first, distinct = int(times.min()), None
        step, steps = _steps(times - first)
        time_bits = int(steps.max()).bit_length()
        if user_bits + time_bits + item_bits > _KEY_BITS:
            # Far apart and fine: places among the distinct times in their stead.
            distinct, steps = np.unique(times, return_inverse=True)
            time_bits = (len(distinct) - 1).bit_length()
            if user_bits + time_bits + item_bits > _KEY_BITS:
                return None
        keys = (users.astype(np.int64) << time_bits | steps) << item_bits | items
        return cls(keys, time_bits, item_bits, first, step, distinct)

    def unpacked(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, times and items of the keys."""
        items = (self.keys & ((1 << self.item_bits) - 1)).astype(np.int32)
        above = self.keys >> self.item_bits
        steps = above & ((1 << self.time_bits) - 1)
        times = steps * self.step + self.first if self.distinct is None else self.distinct[steps]
        return (above >> self.time_bits).astype(np.int32), times, items


def _steps(times: np.ndarray) -> tuple[int, np.ndarray]:
    """The coarsest common unit of which all times are multiples, and the times in it."""
    for unit in _COMMON_UNITS:
        # Most often a few values already tell that a unit is too coarse.
        if not (times[:1024] % unit).any() and not (times % unit).any():
            return unit, times // unit
    return 1, times
