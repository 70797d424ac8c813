"""Reading splits of example artifacts as Arrow record batches, in whatever format TFX wrote them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from tfx import types
from tfx.components.util import tfxio_utils
from tfx.types import artifact_utils
from tfx.utils import io_utils
from tfx_bsl.tfxio import dataset_options

# The signature of TFX's factories, `FnArgs.data_accessor.record_batch_factory` among them; the last is a schema.
BatchFactory = Callable[..., Iterator[pa.RecordBatch]]

_ROWS = 4096


def split_batches(examples: list[types.Artifact], split: str, component: str) -> Iterator[pa.RecordBatch]:
    """Record batches of one split of an example artifact, in file order."""
    factory = tfxio_utils.get_record_batch_factory_from_artifact(examples, [component])
    patterns = [io_utils.all_files_pattern(uri) for uri in artifact_utils.get_split_uris(examples, split)]
    return file_batches(factory, patterns)


def file_batches(factory: BatchFactory, patterns: list[str]) -> Iterator[pa.RecordBatch]:
    """Record batches of files, each row once."""
    return factory(patterns, dataset_options.RecordBatchesOptions(batch_size=_ROWS, num_epochs=1, shuffle=False), None)
