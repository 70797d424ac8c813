"""Logged requests: what users ask the served model, to compare with what it learned from."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator

import pyarrow as pa
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.io import fileio

from h2rec_tf import names
from h2rec_tf.errors import InputError

# The newest so many are looked at, if they have no more text than this.
_REQUESTS = 100_000
_CHARACTERS = 256 << 20
# Parsed at once.
_ROWS = 4096


def serving_statistics(path: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Statistics of logged requests: JSON Lines with a list `history` of item ids.

    The newest 100,000 are taken, or fewer where those have more than 256 MiB of text, so memory is bounded.

    Raises:
        InputError: the file is missing, or a line among the newest has no such list.
    """
    histories = [_request_batch(path, lines) for lines in _batches(_newest_lines(path))]
    if not histories:
        raise InputError(f"{path}: holds no request; clear validation.serving_requests or give a log")
    column = pa.concat_arrays(histories)
    if not len(column.flatten()):
        raise InputError(
            f"{path}: no request has an item in its `{names.HISTORY}`, so there is nothing to compare; clear"
            " validation.serving_requests or give another log"
        )
    batch = pa.RecordBatch.from_arrays([column], [names.HISTORY])
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def _newest_lines(path: str) -> collections.deque[tuple[int, str]]:
    """The last lines of a log that are not blank, with their numbers from 1."""
    lines: collections.deque[tuple[int, str]] = collections.deque()
    characters = 0
    try:
        with fileio.open(path, "r") as file:
            for number, line in enumerate(file, 1):
                if line.isspace():
                    continue
                lines.append((number, line))
                characters += len(line)
                while len(lines) > _REQUESTS or (characters > _CHARACTERS and len(lines) > 1):
                    characters -= len(lines.popleft()[1])
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: cannot be read: {getattr(error, 'message', error)}; check validation.serving_requests"
        ) from error
    return lines


def _batches(lines: collections.deque[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Takes the lines out, some at once."""
    while lines:
        yield [lines.popleft() for _ in range(min(_ROWS, len(lines)))]


def _request_batch(path: str, lines: list[tuple[int, str]]) -> pa.Array:
    """Histories of logged requests: lists of byte strings."""
    histories = []
    for number, line in lines:
        history = _history(line)
        if history is None:
            raise InputError(
                f"{path}:{number}: not a logged request; it must be a JSON object with a list `{names.HISTORY}` of"
                " item ids"
            )
        histories.append(history)
    return pa.array(histories, pa.list_(pa.binary()))


def _history(line: str) -> list[str] | None:
    try:
        history = json.loads(line)[names.HISTORY]
    except (ValueError, TypeError, KeyError):
        return None
    return history if isinstance(history, list) and all(isinstance(item, str) for item in history) else None
