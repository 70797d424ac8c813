"""Reading splits of example artifacts as Arrow record batches, in whatever format TFX wrote them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import tensorflow as tf
from tfx import types
from tfx.components.util import tfxio_utils
from tfx.types import artifact_utils
from tfx.utils import io_utils
from tfx_bsl.tfxio import dataset_options

from h2rec_tf.errors import InputError
from tfx_pipeline.records import damaged_file, recorded_examples, verify

# The signature of TFX's factories, `FnArgs.data_accessor.record_batch_factory` among them; the last is a schema.
BatchFactory = Callable[..., Iterator[pa.RecordBatch]]

_ROWS = 4096


def split_batches(examples: list[types.Artifact], split: str, component: str) -> Iterator[pa.RecordBatch]:
    """Record batches of one split of an example artifact, in file order.

    Raises:
        InputError: as `file_batches`.
    """
    factory = tfxio_utils.get_record_batch_factory_from_artifact(examples, [component])
    yield from file_batches(
        factory, [io_utils.all_files_pattern(uri) for uri in artifact_utils.get_split_uris(examples, split)]
    )


def file_batches(factory: BatchFactory, patterns: list[str]) -> Iterator[pa.RecordBatch]:
    """Record batches of splits, each row once.

    Args:
        factory: reads the files.
        patterns: of all files of each split's directory, as `.../Split-train/*`.

    Raises:
        InputError: a file is missing, damaged or not one that was written there, or the rows are not as many as were
            written.
    """
    expected = verified_examples(patterns)
    options = dataset_options.RecordBatchesOptions(batch_size=_ROWS, num_epochs=1, shuffle=False)
    rows = 0
    try:
        for batch in factory(patterns, options, None):
            rows += batch.num_rows
            yield batch
    except tf.errors.OpError as error:
        damaged = damaged_file([_artifact(pattern)[0] for pattern in patterns])
        if not damaged:
            raise
        raise InputError(damaged) from error
    check_examples(patterns, rows, expected)


def verified_examples(patterns: Iterable[str]) -> int | None:
    """Compares the files of splits with their records.

    Args:
        patterns: as `file_batches` takes them.

    Returns:
        The number of examples that were written; None where that is not known.

    Raises:
        InputError: as `records.verify`.
    """
    counts = []
    for pattern in patterns:
        uri, split = _artifact(pattern)
        verify(uri, split)
        counts.append(recorded_examples(uri).get(split))
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def check_examples(patterns: Iterable[str], found: int, expected: int | None) -> None:
    """Raises InputError where splits gave another number of examples than were written."""
    if expected is not None and found != expected:
        places = ", ".join(os.path.dirname(pattern) for pattern in patterns)
        uri = _artifact(next(iter(patterns)))[0]
        raise InputError(
            f"{places}: {found} examples were read, {expected} were written; delete {uri} and run again, it is made"
            " anew"
        )


def _artifact(pattern: str) -> tuple[str, str]:
    """An artifact's directory and the name of the split, of a pattern of the split's files."""
    uri, _, split = os.path.dirname(pattern).rpartition("/")
    return uri, split.removeprefix("Split-")
