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

# The signature of TFX's factories, `FnArgs.data_accessor.record_batch_factory` among them; the last is a schema.
BatchFactory = Callable[..., Iterator[pa.RecordBatch]]

_ROWS = 4096


def split_batches(examples: list[types.Artifact], split: str, component: str) -> Iterator[pa.RecordBatch]:
    """Record batches of one split of an example artifact, in file order.

    Raises:
        InputError: a file is damaged.
    """
    factory = tfxio_utils.get_record_batch_factory_from_artifact(examples, [component])
    patterns = [io_utils.all_files_pattern(uri) for uri in artifact_utils.get_split_uris(examples, split)]
    try:
        yield from file_batches(factory, patterns)
    except tf.errors.OpError as error:
        damaged = damaged_file([artifact.uri for artifact in examples])
        if not damaged:
            raise
        raise InputError(damaged) from error


def damaged_file(directories: Iterable[str]) -> str:
    """What to tell the user of the first damaged TFRecord file below artifacts' directories; "" if all are whole."""
    for directory in directories:
        for folder, _, names in tf.io.gfile.walk(directory):
            if not os.path.basename(folder).startswith("Split-"):
                continue
            for path in (os.path.join(folder, name) for name in sorted(names) if name.endswith(".gz")):
                reason = _damage(path)
                if reason:
                    remedy = f"delete {directory} and run again, it is made anew"
                    return f"{path}: damaged TFRecord file ({reason}); {remedy}"
    return ""


def _damage(path: str) -> str:
    try:
        for _ in tf.data.TFRecordDataset(path, compression_type="GZIP").batch(1024):
            pass
    except tf.errors.OpError as error:
        return str(error.message).splitlines()[0][:120]
    return ""


def file_batches(factory: BatchFactory, patterns: list[str]) -> Iterator[pa.RecordBatch]:
    """Record batches of files, each row once."""
    return factory(patterns, dataset_options.RecordBatchesOptions(batch_size=_ROWS, num_epochs=1, shuffle=False), None)
