"""Timestamps of all spellings and types."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from h2rec_tf.data.timestamps import parse_timestamps
from h2rec_tf.errors import InputError


def parse(values, kind=None):
    seconds, readable = parse_timestamps(pa.chunked_array([pa.array(values, kind)]), path="f", name="t")
    assert seconds.dtype == np.int64
    return [value if good else None for value, good in zip(seconds.tolist(), readable.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("007", 7),
        (" 12 ", 12),
        ("+3", 3),
        ("-3", -3),
        ("964982703", 964982703),
        ("1400000000000", 1400000000000),
        ("12.9", 12),
        (".5", 0),
        ("1.4e9", 1400000000),
        ("-0.5", 0),
        ("1970-01-02", 86400),
        ("2014-05-12", 1399852800),
        ("2014-05-12T10:30:00", 1399890600),
        ("2014-05-12 10:30", 1399890600),
        ("2014-05-12T10:30:00Z", 1399890600),
        ("2014-05-12T10:30:00.999Z", 1399890600),
        ("2014-05-12T12:30:00+02:00", 1399890600),
        ("2014-05-12T12:30:00+0200", 1399890600),
        ("2014-05-12T12:30:00+02", 1399890600),
        ("1969-12-31T23:59:59", -1),
    ],
)
def test_text(text, expected):
    assert parse([text, "1"]) == [expected, 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "nan",
        "inf",
        "1e400",
        "9223372036854775808e9",
        "2014-13-01",
        "2014-02-30",
        "12/05/2014",
        "0x1F",
        "1,5",
    ],
)
def test_unreadable_text(text):
    assert parse([text, "1", None]) == [None, 1, None]


def test_eighteen_digits_are_exact_and_mixed_spellings_keep_their_places():
    assert parse(["123456789012345678", "2014-05-12", "x", "2.5", "3"]) == [123456789012345678, 1399852800, None, 2, 3]


def test_arrow_types():
    moment = datetime.datetime(2014, 5, 12, 10, 30, 0, 999999)
    for unit in ("s", "ms", "us", "ns"):
        kept = moment.replace(microsecond=0) if unit == "s" else moment
        assert parse([kept, None], pa.timestamp(unit)) == [1399890600, None]
    zoned = datetime.datetime(2014, 5, 12, 10, 30, tzinfo=datetime.timezone.utc)
    assert parse([zoned], pa.timestamp("ns", tz="Europe/Berlin")) == [1399890600]
    assert parse([datetime.date(2014, 5, 12)], pa.date32()) == [1399852800]
    assert parse([3, None, -1], pa.int16()) == [3, None, -1]
    assert parse([2**63, 5], pa.uint64()) == [None, 5]
    assert parse([2.9, float("nan"), float("inf"), None], pa.float32()) == [2, None, None, None]
    assert parse([None, None], pa.null()) == [None, None]
    assert parse(["5", "x"], pa.dictionary(pa.int8(), pa.string())) == [5, None]
    with pytest.raises(InputError, match="f: column `t` holds bool; timestamps must be numbers or ISO-8601 text"):
        parse([True])
