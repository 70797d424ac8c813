"""`tf.Example`s of users and items, coded through Arrow: no Python loop over rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from tfx_bsl.coders import example_coder

from h2rec_tf import names
from h2rec_tf.data.sequences import Catalogue, Holdout, Sequences, catalogue_order
from h2rec_tf.errors import InputError

# Rows encoded at once: memory stays small, the C++ coder does the work.
_ROWS = 4096


def encode_users(
    histories: Sequences, item_ids: np.ndarray, targets: np.ndarray | None = None
) -> Iterator[list[bytes]]:
    """Serialized examples of users, in batches.

    Features: `user_id`, `history` (item ids, oldest first), `timestamps` where the data has them, and `target`. The
    training split has no target: its histories hold them.

    Args:
        histories: `U` users.
        item_ids: `[N]`, the catalogue's ids; item index `i` is `item_ids[i - 1]`.
        targets: int32 `[U]` item indices, or None.
    """
    ids = pa.array(item_ids.tolist(), pa.binary())
    for start in range(0, len(histories), _ROWS):
        stop = min(start + _ROWS, len(histories))
        low, high = histories.offsets[start], histories.offsets[stop]
        offsets = pa.array(histories.offsets[start : stop + 1] - low, pa.int32())
        columns = {
            names.USER_ID: _singles(pa.array(histories.user_ids[start:stop].tolist(), pa.binary())),
            names.HISTORY: pa.ListArray.from_arrays(offsets, ids.take(pa.array(histories.items[low:high] - 1))),
        }
        if histories.timestamps is not None:
            columns[names.TIMESTAMPS] = pa.ListArray.from_arrays(offsets, pa.array(histories.timestamps[low:high]))
        if targets is not None:
            columns[names.TARGET] = _singles(ids.take(pa.array(targets[start:stop] - 1)))
        yield _encode(columns)


def encode_items(catalogue: Catalogue) -> Iterator[list[bytes]]:
    """Serialized examples of items, in batches: `item_id`, `title`, `text`, `categories` and `vector` where given."""
    for start in range(0, len(catalogue), _ROWS):
        rows = slice(start, min(start + _ROWS, len(catalogue)))
        columns = {
            names.ITEM_ID: _singles(pa.array(catalogue.item_ids[rows].tolist(), pa.binary())),
            names.TITLE: _singles(pa.array(catalogue.titles[rows].tolist(), pa.binary())),
            names.TEXT: _singles(pa.array(catalogue.texts[rows].tolist(), pa.binary())),
        }
        if catalogue.categories is not None:
            columns[names.CATEGORIES] = _singles(pa.array(catalogue.categories[rows].tolist(), pa.binary()))
        if catalogue.vectors is not None:
            vectors = catalogue.vectors[rows]
            offsets = pa.array(np.arange(len(vectors) + 1) * vectors.shape[1], pa.int32())
            columns[names.VECTOR] = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel(), pa.float32()))
        yield _encode(columns)


def decode_items(batches: Iterable[pa.RecordBatch]) -> Catalogue:
    """The catalogue in its own order, whatever the order of the examples.

    Raises:
        InputError: no items, or vectors for some items only or of different widths.
    """
    tables = [batch for batch in batches if batch.num_rows]
    if not tables:
        raise InputError("items: the catalogue is empty; give at least one item")
    item_ids = _texts(tables, names.ITEM_ID)
    order = catalogue_order(item_ids.tolist())
    vectors = None
    if any(names.VECTOR in table.schema.names for table in tables):
        values, lengths = _flat(tables, names.VECTOR)
        width = int(lengths[0])
        if not width or (lengths != width).any():
            raise InputError(
                f"items: vectors must all have one width, found {lengths.min()} and {lengths.max()} numbers"
            )
        vectors = values.reshape(-1, width).astype(np.float32)[order]
    categories = None
    if any(names.CATEGORIES in table.schema.names for table in tables):
        categories = _texts(tables, names.CATEGORIES)[order]
    return Catalogue(
        item_ids=item_ids[order],
        titles=_texts(tables, names.TITLE)[order],
        texts=_texts(tables, names.TEXT)[order],
        vectors=vectors,
        categories=categories,
    )


def decode_training(batches: Iterable[pa.RecordBatch]) -> Sequences:
    """Transformed training examples as sequences of item indices, sorted by user id.

    The order makes training repeatable: files of a Beam run come in any order.
    """
    return _sequences([batch for batch in batches if batch.num_rows])[0]


def decode_holdout(batches: Iterable[pa.RecordBatch]) -> Holdout:
    """Transformed held-out examples, sorted by user id.

    Raises:
        InputError: an example without a target.
    """
    tables = [batch for batch in batches if batch.num_rows]
    histories, order = _sequences(tables)
    targets, lengths = _flat(tables, names.TARGET_INDEX)
    if len(targets) != len(lengths):
        raise InputError(
            f"held-out examples need one `{names.TARGET_INDEX}` each, found {len(targets)} in {len(lengths)}"
        )
    return Holdout(histories, targets[order].astype(np.int32))


def _encode(columns: dict[str, pa.Array]) -> list[bytes]:
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return example_coder.RecordBatchToExamplesEncoder().encode(batch)


def _singles(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.arange(len(values) + 1), pa.int32()), values)


def _flat(tables: list[pa.RecordBatch], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of one feature, row after row, and the number in each row; an absent feature has none."""
    values, lengths = [], []
    for table in tables:
        if name not in table.schema.names or pa.types.is_null(table.column(name).type):
            lengths.append(np.zeros(table.num_rows, np.int64))
            continue
        column = table.column(name)
        values.append(column.flatten().to_numpy(zero_copy_only=False))
        lengths.append(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
    return (
        np.concatenate(values) if values else np.zeros(0, np.int64),
        np.concatenate(lengths) if lengths else np.zeros(0, np.int64),
    )


def _texts(tables: list[pa.RecordBatch], name: str) -> np.ndarray:
    """Object `[rows]` of strings; an empty or absent value is ""."""
    values, lengths = _flat(tables, name)
    texts = np.full(len(lengths), "", dtype=object)
    texts[lengths > 0] = [value.decode("utf-8") for value in values[(np.cumsum(lengths) - lengths)[lengths > 0]]]
    return texts


def _sequences(tables: list[pa.RecordBatch]) -> tuple[Sequences, np.ndarray]:
    """Sequences sorted by user id, and the permutation that sorted them."""
    user_ids = _texts(tables, names.USER_ID)
    items, lengths = _flat(tables, names.HISTORY_INDEX)
    stamps, stamp_lengths = _flat(tables, names.TIMESTAMPS)
    order = np.argsort(user_ids, kind="stable")
    starts = np.cumsum(lengths) - lengths
    offsets = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
    # Positions of the reordered rows' values in the flat arrays.
    places = np.repeat(starts[order] - offsets[:-1], lengths[order]) + np.arange(offsets[-1])
    timestamps = None
    if len(stamps) and np.array_equal(stamp_lengths, lengths):
        timestamps = stamps[places].astype(np.int64)
    return Sequences(user_ids[order], items[places].astype(np.int32), offsets, timestamps), order
