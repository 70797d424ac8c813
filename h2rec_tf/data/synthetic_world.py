"""A made-up shop in which the next item follows from identity for popular items and from topic for the others."""

from __future__ import annotations

import dataclasses

import numpy as np

# How often each of a popular item's followers comes next.
_FOLLOWER_SHARES = (0.6, 0.25, 0.15)
# Tries to find an item that the user does not have yet.
_TRIES = 8


@dataclasses.dataclass(frozen=True)
class SyntheticWorld:
    """Items with topics and popularity, and where users go from them.

    Items are 0..N - 1 in random order: neither topic nor popularity can be read off the number.

    Attributes:
        topics: int64 `[N]`, the narrow topic of each item.
        weights: float64 `[N]`, attraction of each item; a Zipf law.
        head: bool `[N]`, the most attractive items.
        followers: int64 `[N, 3]`, the head items that follow a head item.
        next_topics: int64 `[topics]`, the topic that follows a topic.
    """

    topics: np.ndarray
    weights: np.ndarray
    head: np.ndarray
    followers: np.ndarray
    next_topics: np.ndarray

    @classmethod
    def make(
        cls,
        generator: np.random.Generator,
        *,
        items: int,
        next_topics: np.ndarray,
        zipf: float,
        head_fraction: float,
    ) -> SyntheticWorld:
        """Draws a world.

        Args:
            generator: source of all random choices.
            items: N, at least as many as topics; each topic has about as many.
            next_topics: int64 `[topics]`.
            zipf: exponent of the popularity law.
            head_fraction: share of items that are head.
        """
        ranks = generator.permutation(items)
        head = ranks < max(round(head_fraction * items), len(_FOLLOWER_SHARES))
        followers = generator.choice(np.flatnonzero(head), (items, len(_FOLLOWER_SHARES)))
        topics = generator.permutation(items) % len(next_topics)
        return cls(topics, (ranks + 1.0) ** -zipf, head, followers, next_topics)

    def histories(
        self,
        generator: np.random.Generator,
        lengths: np.ndarray,
        *,
        identity: float,
        topical: float,
        same_topic: float,
        tail: float,
    ) -> np.ndarray:
        """Draws what users take, one after the other and no item twice (as far as a few tries find another).

        After a head item, with probability `identity` one of its followers comes next. Else, and after a tail item,
        comes an item of a topic: with probability `topical` of the last item's one (`same_topic`) or the one that
        follows it, else of one of the user's three favourites; a tail item with probability `tail`.

        Args:
            generator: source of all random choices.
            lengths: int `[U]`, at least 1.
            identity: probability.
            topical: probability.
            same_topic: probability.
            tail: probability.

        Returns:
            int64 `[U, longest]`, -1 after a user's last item.
        """
        sampler = _TopicSampler(self)
        users = len(lengths)
        favourites = generator.integers(len(self.next_topics), size=(users, 3))
        taken = np.full((users, int(lengths.max())), -1, np.int64)
        for step in range(taken.shape[1]):
            open_users = np.flatnonzero(lengths > step)
            for _ in range(_TRIES):
                size = len(open_users)
                topics = favourites[open_users, generator.integers(favourites.shape[1], size=size)]
                if step:
                    last = taken[open_users, step - 1]
                    stays = generator.random(size) < same_topic
                    from_last = np.where(stays, self.topics[last], self.next_topics[self.topics[last]])
                    topics = np.where(generator.random(size) < topical, from_last, topics)
                drawn = sampler.draw(generator, topics, generator.random(size) < tail)
                if step:
                    follows = self.head[last] & (generator.random(size) < identity)
                    place = generator.choice(len(_FOLLOWER_SHARES), size=size, p=_FOLLOWER_SHARES)
                    drawn = np.where(follows, self.followers[last, place], drawn)
                taken[open_users, step] = drawn
                repeats = (taken[open_users, :step] == drawn[:, None]).any(axis=1)
                open_users = open_users[repeats]
                if not len(open_users):
                    break
        return taken


class _TopicSampler:
    """Draws head or tail items of given topics by weight."""

    def __init__(self, world: SyntheticWorld):
        # Group 2 t has the head items of topic t, group 2 t + 1 its tail items.
        groups = world.topics * 2 + ~world.head
        self._items = np.argsort(groups, kind="stable")
        self._cumulative = np.cumsum(world.weights[self._items])
        self._sizes = np.bincount(groups, minlength=2 * len(world.next_topics))
        self._ends = np.cumsum(self._sizes)
        sums = np.concatenate([[0.0], self._cumulative])
        self._low, self._high = sums[self._ends - self._sizes], sums[self._ends]

    def draw(self, generator: np.random.Generator, topics: np.ndarray, tail: np.ndarray) -> np.ndarray:
        """int64 `[n]`, one item for each topic; of the other kind where the topic has none of the wanted one."""
        groups = topics * 2 + tail
        groups = np.where(self._sizes[groups] > 0, groups, groups ^ 1)
        points = self._low[groups] + generator.random(len(groups)) * (self._high - self._low)[groups]
        places = np.searchsorted(self._cumulative, points, side="right")
        return self._items[np.minimum(places, self._ends[groups] - 1)]
