"""Item neighbourhoods, for the teacher and the seen slots: near in text, or near in other users' histories."""

from __future__ import annotations

import numpy as np

from h2rec_tf.data.sequences import Sequences
from h2rec_tf.models.item_knn import ItemKnn

# Catalogues up to this size compare all texts with all; larger ones only texts of one coarsest code.
_EXACT = 50_000
_BLOCK = 1024


def text_neighbours(
    vectors: np.ndarray, codes: np.ndarray, *, top: int, temperature: float = 0.05, exact: int = _EXACT
) -> tuple[np.ndarray, np.ndarray]:
    """For each item the `top` items of highest cosine, weighted by `softmax(cosine / temperature)` over them.

    Args:
        vectors: float `[N, D]`, row r is item index r + 1; a row of zeros (no text) has and is no neighbour.
        codes: int `[N, L]`; items are compared inside a first code where N is above `exact`.
        top: P.
        temperature: of the weights.
        exact: the largest catalogue that is compared whole.

    Returns:
        int32 `[N + 1, P]` item indices, nearest first, 0 pads; float32 `[N + 1, P]` weights that sum to 1, or to 0 for
        an item without neighbours.
    """
    count = len(vectors)
    norms = np.linalg.norm(vectors, axis=1)
    unit = (vectors / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)
    neighbours = np.zeros((count + 1, top), np.int32)
    weights = np.zeros((count + 1, top), np.float32)
    with_text = np.flatnonzero(norms > 0)
    cells = [with_text]
    if count > exact:
        order = with_text[np.argsort(codes[with_text, 0], kind="stable")]
        cells = np.split(order, np.flatnonzero(np.diff(codes[order, 0])) + 1)
    for cell in cells:
        width = min(top, len(cell) - 1)
        if width < 1:
            continue
        for begin in range(0, len(cell), _BLOCK):
            rows = cell[begin : begin + _BLOCK]
            cosines = unit[rows] @ unit[cell].T
            cosines[np.arange(len(rows)), np.arange(begin, begin + len(rows))] = -np.inf
            places = np.argpartition(-cosines, width - 1, axis=1)[:, :width]
            near = np.take_along_axis(cosines, places, axis=1)
            order_in_row = np.argsort(-near, axis=1, kind="stable")
            near = np.take_along_axis(near, order_in_row, axis=1)
            neighbours[rows + 1, :width] = cell[np.take_along_axis(places, order_in_row, axis=1)] + 1
            share = np.exp((near - near[:, :1]) / temperature)
            weights[rows + 1, :width] = share / share.sum(axis=1, keepdims=True)
    return neighbours, weights


def cooccurrence_neighbours(
    train: Sequences, num_items: int, *, top: int, window: int = 3, shrink: float = 30.0
) -> tuple[np.ndarray, np.ndarray]:
    """For each item the `top` items of highest item-kNN similarity, weighted in proportion to it.

    Args:
        train: the training split.
        num_items: N.
        top: P.
        window: largest distance of two positions that form a pair.
        shrink: draws the similarity of rare items towards 0.

    Returns:
        As `text_neighbours`.
    """
    similarity = ItemKnn.fit(train, num_items, window=window, shrink=shrink, neighbours=top).similarity
    neighbours = np.zeros((num_items + 1, top), np.int32)
    weights = np.zeros((num_items + 1, top), np.float32)
    rows = np.repeat(np.arange(num_items + 1), np.diff(similarity.indptr))
    order = np.lexsort((-similarity.data, rows))
    places = np.arange(len(rows)) - similarity.indptr[rows]
    neighbours[rows, places] = similarity.indices[order]
    weights[rows, places] = similarity.data[order]
    sums = weights.sum(axis=1, keepdims=True)
    return neighbours, weights / np.where(sums > 0, sums, 1.0)


def joined(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], *, second_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two neighbourhoods side by side; where one of them is empty, the other has the whole weight.

    Args:
        first: neighbours and weights, `[N + 1, P]` each.
        second: the same with any P.
        second_share: of the weight, where both are there.

    Returns:
        `[N + 1, P1 + P2]`; an item in both lists stands twice.
    """
    masses = [(1.0 - second_share) * first[1], second_share * second[1]]
    weights = np.concatenate(masses, axis=1)
    sums = weights.sum(axis=1, keepdims=True)
    return np.concatenate([first[0], second[0]], axis=1), weights / np.where(sums > 0, sums, 1.0)
