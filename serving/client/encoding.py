"""Item ids as the arrays that signatures take, and what they answer as Python values; shared by all clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from h2rec_tf import names
from h2rec_tf.errors import InputError
from serving.client.results import RankedCandidate, Recommendation


def string_vector(texts: Sequence[str]) -> np.ndarray:
    """Object `[B]` of bytes. What came from bytes that are not UTF-8 (a shell argument) goes out as the same bytes."""
    result = np.empty(len(texts), object)
    result[:] = [text.encode(errors="surrogateescape") for text in texts]
    return result


def string_matrix(rows: Sequence[Sequence[str]], *, at_end: bool = False) -> np.ndarray:
    """Object `[B, T]` of bytes, T >= 1, b"" where a row is shorter.

    Args:
        rows: lists of ids.
        at_end: b"" goes before a row's ids, so that a history's latest item stands last; else after them.

    Raises:
        InputError: a row is one string.
    """
    width = max(1, max(map(len, rows), default=1))
    result = np.full((len(rows), width), b"", object)
    for row, texts in zip(result, rows, strict=True):
        if isinstance(texts, str):
            raise InputError(f"each row must be a list of strings, got the string {texts!r}")
        start = width - len(texts) if at_end else 0
        row[start : start + len(texts)] = [text.encode(errors="surrogateescape") for text in texts]
    return result


def titles(outputs: Mapping[str, np.ndarray]) -> list[str]:
    """What `item_titles` answers."""
    return [title.decode(errors="replace") for title in outputs[names.TITLES]]


def recommendations(outputs: Mapping[str, np.ndarray]) -> list[list[Recommendation]]:
    """What `serving_default` and `similar_items` answer, without the places that were not filled."""
    columns = outputs[names.ITEM_IDS], outputs[names.TITLES], outputs[names.SCORES]
    return [
        [
            Recommendation(item_id.decode(errors="replace"), title.decode(errors="replace"), float(score))
            for item_id, title, score in zip(*row, strict=True)
            if item_id
        ]
        for row in zip(*columns, strict=True)
    ]


def ranked(outputs: Mapping[str, np.ndarray], candidates: Sequence[Sequence[str]]) -> list[list[RankedCandidate]]:
    """What `rank_candidates` answers for these candidates, best first."""
    columns = outputs[names.ORDER].tolist(), outputs[names.SCORES].tolist(), outputs[names.KNOWN].tolist()
    return [
        # Places beyond a row's own candidates fill up the matrix.
        [RankedCandidate(row[place], scores[place], known[place]) for place in order if place < len(row)]
        for row, order, scores, known in zip(candidates, *columns, strict=True)
    ]
