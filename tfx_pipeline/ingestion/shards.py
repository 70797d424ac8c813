"""Splits of a shard's users, written as TFRecord files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator

import apache_beam as beam
import tensorflow as tf
from apache_beam import pvalue
from tfx.components.example_gen import write_split

from h2rec_tf import names
from h2rec_tf.data.events import Events
from h2rec_tf.data.splits import last_items, since
from h2rec_tf.errors import InputError
from tfx_pipeline.examples import encode_users
from tfx_pipeline.ingestion.cuts import Cuts
from tfx_pipeline.ingestion.findings import FINDINGS, Finding
from tfx_pipeline.ingestion.rows import catalogue_ids


class WriteShard(beam.DoFn):
    """`(shard, Events)` -> one file of each split; gives the numbers of written examples as counters.

    A file's name and content depend on the shard alone, so a bundle that runs twice writes the same file twice.
    """

    def __init__(
        self,
        *,
        catalogue: tuple[str, ...],
        split_uris: dict[str, str],
        shards: int,
        temporary: str,
        validation: bool = True,
        test: bool = True,
    ):
        """Args:
        catalogue: patterns of the files of item examples.
        split_uris: split -> directory.
        shards: number of all shards, for the names.
        temporary: directory on the same file system.
        validation: temporal split: something is held out for validation.
        test: likewise for the test.
        """
        self._catalogue = catalogue
        self._split_uris = split_uris
        self._shards = shards
        self._temporary = temporary
        self._validation = validation
        self._test = test

    def process(self, element: tuple[int, Events], cuts: Cuts | None = None) -> Iterator[object]:
        shard, events = element
        if cuts is None:
            train, validation, test = last_items(events)
        else:
            first_validation, first_test = cuts.times or (None, None)
            train, validation, test = since(
                events,
                first_validation=first_validation if self._validation else None,
                first_test=first_test if self._test else None,
            )
        item_ids = catalogue_ids(self._catalogue)
        counts = {}
        try:
            for split, histories, targets in (
                (names.TRAIN, train, None),
                (names.VALIDATION, validation.histories, validation.targets),
                (names.TEST, test.histories, test.targets),
            ):
                write_shard(
                    encode_users(histories, item_ids, targets),
                    self._split_uris[split],
                    shard,
                    self._shards,
                    self._temporary,
                )
                counts[split] = len(histories)
        except InputError as error:
            yield pvalue.TaggedOutput(FINDINGS, Finding(self._split_uris[split], fatal=str(error)))
        yield counts


def write_shard(batches: Iterable[list[bytes]], directory: str, shard: int, shards: int, temporary: str) -> str:
    """Writes serialized examples to a gzipped TFRecord file of a split; no file where there is no example.

    Args:
        batches: examples.
        directory: of the split.
        shard: number of the file, from 0.
        shards: number of all files.
        temporary: directory where the file grows.

    Returns:
        The file's path, or "".

    Raises:
        InputError: the file cannot be written.
    """
    path = os.path.join(directory, f"{write_split.DEFAULT_FILE_NAME}-{shard:05d}-of-{shards:05d}.gz")
    growing = os.path.join(temporary, f"shard-{shard:05d}-{uuid.uuid4().hex}")
    written = 0
    try:
        tf.io.gfile.makedirs(temporary)
        # Item vectors are nearly random bits: a higher level takes several times as long for the same size.
        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
        with tf.io.TFRecordWriter(growing, options) as writer:
            for batch in batches:
                for example in batch:
                    writer.write(example)
                written += len(batch)
        if not written:
            tf.io.gfile.remove(growing)
            return ""
        tf.io.gfile.makedirs(directory)
        tf.io.gfile.rename(growing, path, overwrite=True)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "message", None) or getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot write: {reason}; free some space or choose another place") from error
    return path
