"""Exact top-k over a catalogue in blocks of items: plain TensorFlow ops, so it runs eagerly and in any server."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import tensorflow as tf

from h2rec_tf.errors import InputError

# Score of a place that no item fills. Finite, so that it survives JSON.
LOWEST = tf.float32.min


def top_k(
    score_block: Callable[[int, int], tf.Tensor],
    *,
    num_items: int,
    k: tf.Tensor | int,
    excluded: tf.Tensor | None = None,
    block: int = 65536,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best `min(k, num_items)` items a row, descending by score, ties by lower index.

    Memory is O(B * block): one block of scores at a time, also in a `tf.function`, where the loop over blocks is
    unrolled and each block waits for the one before it.

    Args:
        score_block: `(start, stop)` -> floating `[B, stop - start]`, the scores of item indices start..stop-1, for
            each of `blocks(num_items, block)`. NaN has no place in an order: keep it out.
        num_items: N; indices 1..N are scored.
        k: items a row; an int or an integer scalar tensor.
        excluded: integer `[B, E]` item indices that never come back, repeats allowed; values outside 1..N are ignored.
        block: items a block.

    Returns:
        items: int32 `[B, min(k, N)]`; 0 where fewer items remain.
        scores: float32 `[B, min(k, N)]`; `LOWEST` where the item is 0. An item at minus infinity counts
            as absent.

    Raises:
        InputError: `num_items` or `block` below 1.
    """
    if num_items < 1 or block < 1:
        raise InputError(f"top_k needs num_items >= 1 and block >= 1, got {num_items} and {block}")
    wanted = max(k, 0) if isinstance(k, int) else tf.maximum(tf.cast(k, tf.int32), 0)
    items, scores = tf.constant(0, tf.int32), tf.constant(0.0)
    for start, stop in blocks(num_items, block):
        with tf.control_dependencies([items] if start > 1 else []):
            block_scores = tf.cast(score_block(start, stop), tf.float32)
        if excluded is not None:
            block_scores = without(block_scores, excluded, start, stop)
        block_scores, columns = tf.math.top_k(block_scores, _smaller(wanted, stop - start))
        if start == 1:
            items, scores = columns + start, block_scores
            continue
        # Earlier blocks stand to the left and top_k prefers the left one of equals: ties keep the lower index.
        merged_items = tf.concat([items, columns + start], axis=1)
        merged_scores = tf.concat([scores, block_scores], axis=1)
        scores, places = tf.math.top_k(merged_scores, _smaller(wanted, stop - 1))
        items = tf.gather(merged_items, places, batch_dims=1)
    present = scores > LOWEST
    return tf.where(present, items, 0), tf.where(present, scores, LOWEST)


def blocks(num_items: int, block: int) -> list[tuple[int, int]]:
    """`(start, stop)` of consecutive blocks of the item indices 1..num_items.

    All but the first start at a multiple of `block`, so that rows of a table with a padding row can be taken without a
    copy: TensorFlow copies slices that do not start at a multiple of 64 bytes.
    """
    edges = [1, *range(block, num_items + 1, block), num_items + 1]
    return [(start, stop) for start, stop in itertools.pairwise(edges) if start < stop]


def scored_rows(users: tf.Tensor, table: tf.Tensor, start: int, stop: int, *, block: int) -> tf.Tensor:
    """Inner products with rows start..stop - 1 of a table, as `top_k` asks for them, without copying the table.

    Args:
        users: float32 `[B, D]`.
        table: float32 `[N + 1, D]` tensor or variable.
        start: first item index of a block.
        stop: its end.
        block: of `blocks`.

    Returns:
        float32 `[B, stop - start]`.
    """
    first = start - start % block
    return tf.matmul(users, table[first:stop], transpose_b=True)[:, start - first :]


def without(scores: tf.Tensor, excluded: tf.Tensor, start: int, stop: int) -> tf.Tensor:
    """Scores of a block with `LOWEST` at excluded items.

    Args:
        scores: float32 `[B, stop - start]`, of item indices start..stop - 1.
        excluded: integer `[B, E]` item indices; those outside the block are passed over.
        start: first item index of the block.
        stop: its end.
    """
    columns = tf.cast(excluded, tf.int64) - start
    places = tf.where((columns >= 0) & (columns < stop - start))
    indices = tf.stack([places[:, 0], tf.gather_nd(columns, places)], axis=1)
    return tf.tensor_scatter_nd_update(scores, indices, tf.fill(tf.shape(places)[:1], LOWEST))


def _smaller(k: tf.Tensor | int, limit: int) -> tf.Tensor | int:
    # Python ints stay Python ints: the graph then knows the width of the result.
    return min(k, limit) if isinstance(k, int) else tf.minimum(k, limit)
