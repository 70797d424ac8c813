"""Times of all spellings and types, against Python's, NumPy's and pandas' own readers."""

import datetime
import decimal
import email.utils
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from h2rec_tf.data import timestamps as outcomes
from h2rec_tf.data.timestamps import SPELLINGS, clock, parse_timestamps, parse_values
from h2rec_tf.errors import InputError

MOMENT = datetime.datetime(2012, 4, 3, 18, 0, 9, 123456, tzinfo=datetime.timezone.utc)


def times(values, kind=None, **options):
    return parse_timestamps(pa.chunked_array([pa.array(values, kind)]), path="f", name="t", **options)


def parse(values, kind=None, **options):
    """Nanoseconds, or the outcome as text where a value is not read."""
    names = {getattr(outcomes, name): name for name in ("EMPTY", "UNREADABLE", "DAY_AND_MONTH", "NO_SUCH_DATE")}
    names |= {outcomes.UNCLEAR_UNIT: "UNCLEAR_UNIT", outcomes.EARLY: "EARLY", outcomes.LATE: "LATE"}
    found = times(values, kind, **options)
    assert found.nanoseconds.dtype == np.int64
    assert not found.nanoseconds[~found.read].any()
    pairs = zip(found.nanoseconds.tolist(), found.outcome.tolist(), strict=True)
    return [names.get(outcome, value) for value, outcome in pairs]


def exact(number: str, unit: int) -> int:
    """Nanoseconds of a number in a unit, by Python's decimals."""
    with decimal.localcontext(decimal.Context(prec=120)):
        return int((decimal.Decimal(number) * unit).to_integral_value(rounding=decimal.ROUND_FLOOR))


def test_numbers_are_read_exactly_whatever_they_are_spelled_like():
    generator = random.Random(0)
    texts = ["0", "007", " 12 ", "+3", ".5", "5.", "1.4e9", "1.5E+09", "1e-7", "1500000000.123456789", "9e0040", "0e40"]
    for _ in range(3000):
        text = generator.choice(["", "+"]) + str(generator.randrange(9 * 10 ** generator.randrange(1, 10)))
        if generator.random() < 0.7:
            text += "." + "".join(generator.choices("0123456789", k=generator.randrange(14)))
        if generator.random() < 0.3:
            text += generator.choice("eE") + generator.choice(["-", "-0"]) + str(generator.randrange(8))
        texts.append(text)
    texts.remove("9e0040")
    found = times(texts, unit="s")
    assert found.nanoseconds.tolist() == [exact(text, 10**9) for text in texts]
    assert found.finer.tolist() == [exact(text, 10**9) * 10**20 != exact(text, 10**29) for text in texts]


@pytest.mark.parametrize("unit", outcomes.UNITS)
def test_each_number_has_the_unit_that_its_size_tells(unit):
    size = outcomes.UNITS[unit]
    generator = np.random.default_rng(1)
    # From 1973, where all units can be told apart, to the end of int64.
    moments = generator.integers(100_000_001 * 10**9, 2**63 - 10**9, 500) // size * size
    texts = [str(moment // size) for moment in moments.tolist()]
    assert parse(texts) == moments.tolist()
    assert parse(texts, unit=unit) == moments.tolist()
    assert parse([int(text) for text in texts]) == moments.tolist()
    assert set(times(texts).spelling.tolist()) == {list(outcomes.UNITS).index(unit)}
    expected = pd.to_datetime([int(text) for text in texts], unit=unit).to_numpy("datetime64[ns]").astype(np.int64)
    assert moments.tolist() == expected.tolist()
    # The digits after the point stay, down to the nanosecond.
    assert parse([f"{moments[0] // size}.5"], unit=unit) == [int(moments[0]) + size // 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9223372035.999999999", 9223372035999999999),
        ("9223372036", "UNCLEAR_UNIT"),
        ("99999999999", "UNCLEAR_UNIT"),
        ("100000000000", 10**17),
        ("9223372036854", "UNCLEAR_UNIT"),
        # A date and time in digits alone.
        ("20120403180009", "UNCLEAR_UNIT"),
        ("9223372036854775", "UNCLEAR_UNIT"),
        ("100000000000000000", 10**17),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "LATE"),
        ("1e30", "LATE"),
        ("1e400", "LATE"),
        ("1e99999999", "LATE"),
        ("-3", "EARLY"),
        ("-0.5", "EARLY"),
        ("-1e30", "EARLY"),
        ("-0.0", 0),
        ("1969-12-31T23:59:59.999", "EARLY"),
        ("1970-01-01T00:30:00+01:00", "EARLY"),
        ("2262-04-11T23:47:15.999999999Z", 9223372035999999999),
        ("2262-04-11T23:47:16Z", "LATE"),
        ("9999-12-31", "LATE"),
        ("0000-01-01", "EARLY"),
    ],
)
def test_the_ends_of_what_is_read(text, expected):
    assert parse([text, "1"]) == [expected, 10**9]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "EMPTY"),
        ("  ", "EMPTY"),
        (None, "EMPTY"),
        ("soon", "UNREADABLE"),
        ("nan", "UNREADABLE"),
        ("inf", "UNREADABLE"),
        ("0x1F", "UNREADABLE"),
        ("1,5", "UNREADABLE"),
        ("1_000", "UNREADABLE"),
        ("١٢٣", "UNREADABLE"),
        ("2014-05/12", "UNREADABLE"),
        ("2014-05-12 10:30 PST", "UNREADABLE"),
        ("Tue, 03 Apr 12 18:00:09 GMT", "UNREADABLE"),
        ("2014-13-01", "NO_SUCH_DATE"),
        ("2014-02-30", "NO_SUCH_DATE"),
        ("2100-02-29", "NO_SUCH_DATE"),
        ("2014-02-03T24:00:00", "NO_SUCH_DATE"),
        ("2014-02-03T23:60:00", "NO_SUCH_DATE"),
        ("2014-02-03T23:00:00+25:00", "NO_SUCH_DATE"),
        ("31 Apr 2012 18:00", "NO_SUCH_DATE"),
        ("03/04/2012", "DAY_AND_MONTH"),
        ("3.4.2012 10:00", "DAY_AND_MONTH"),
        ("31-12-12", "DAY_AND_MONTH"),
        ("12/31/2012 10:40:59", "DAY_AND_MONTH"),
    ],
)
def test_what_is_not_read_says_why(text, why):
    assert parse([text, "1", None]) == [why, 10**9, "EMPTY"]


SPELLED = {
    "%Y-%m-%dT%H:%M:%S.%f+00:00": 1,
    "%Y-%m-%d %H:%M:%S.%f UTC": 1,
    "%Y-%m-%dT%H:%M:%S,%fZ": 1,
    "%Y%m%dT%H%M%S.%f+0000": 1,
    "%Y%m%dT%H%M%SZ": 10**6,
    "%Y-%m-%d %H:%M:%S UTC": 10**6,
    "%Y-%m-%dT%H:%M:%SZ": 10**6,
    "%Y/%m/%d %H:%M:%S": 10**6,
    "%a %b %d %H:%M:%S +0000 %Y": 10**6,
    "%a, %d %b %Y %H:%M:%S GMT": 10**6,
    "%d %b %Y %H:%M:%S": 10**6,
    "%c": 10**6,
    "%Y-%m-%d %H:%M": 60 * 10**6,
    "%Y-%m-%d": 86400 * 10**6,
}


@pytest.mark.parametrize("spelling", SPELLED)
def test_dates_are_what_python_wrote(spelling):
    """`strftime` is the oracle, in the C locale; the step in microseconds is what the spelling leaves out."""
    generator = np.random.default_rng(2)
    step = SPELLED[spelling]
    epoch = datetime.datetime(1970, 1, 1)
    micros = generator.integers(0, 9_000_000_000 * 10**6, 400) // step * step
    moments = [epoch + datetime.timedelta(microseconds=value) for value in micros.tolist()]
    assert parse([moment.strftime(spelling) for moment in moments]) == (micros * 1000).tolist()


def test_zones_and_mail_headers():
    for hours in (-12, -7, 0, 5.5, 14):
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        local = MOMENT.astimezone(zone)
        expected = int(MOMENT.replace(microsecond=0).timestamp()) * 10**9
        assert parse([local.isoformat()]) == [expected + 123456000]
        assert parse([email.utils.format_datetime(local)]) == [expected]
        assert parse([local.strftime("%a %b %d %H:%M:%S %z %Y")]) == [expected]
        assert parse([local.strftime("%Y%m%dT%H%M%S%z")]) == [expected]


def test_named_spellings():
    assert parse(
        [
            "2019-10-01 00:00:00 UTC",
            "Sat Sep 01 10:40:59 -0700 2012",
            "Tue Apr 03 18:00:09 +0000 2012",
            "20120403T180009Z",
            "Tue, 03 Apr 2012 18:00:09 GMT",
            "2012-04-03T18:00:09.1234567891",
            "2014-05-12T12:30:00+02",
        ]
    ) == [
        1569888000 * 10**9,
        1346521259 * 10**9,
        1333476009 * 10**9,
        1333476009 * 10**9,
        1333476009 * 10**9,
        1333476009123456789,
        1399890600 * 10**9,
    ]


def test_mixed_spellings_keep_their_places():
    values = ["1500000000123", "2014-05-12", "x", "2.5", "Tue Apr 03 18:00:09 +0000 2012", "3"]
    found = times(values)
    assert parse(values)[:2] == [1500000000123 * 10**6, 1399852800 * 10**9]
    assert [SPELLINGS[place] for place in found.spelling[found.read].tolist()] == [
        "milliseconds",
        "dates without a zone",
        "seconds",
        "dates with the name of the month",
        "seconds",
    ]


def test_arrow_types():
    moment = datetime.datetime(2014, 5, 12, 10, 30, 0, 999999)
    for unit in outcomes.UNITS:
        assert parse([moment.replace(microsecond=0), None], pa.timestamp(unit)) == [1399890600 * 10**9, "EMPTY"]
    assert parse([moment], pa.timestamp("us")) == [1399890600999999000]
    assert parse([1399890600123456789], pa.timestamp("ns")) == [1399890600123456789]
    assert parse([2**62], pa.timestamp("s")) == ["LATE"]
    assert parse([-1], pa.timestamp("ns")) == ["EARLY"]
    zoned = datetime.datetime(2014, 5, 12, 10, 30, tzinfo=datetime.timezone.utc)
    assert parse([zoned], pa.timestamp("ns", tz="Europe/Berlin")) == [1399890600 * 10**9]
    for kind in (pa.date32(), pa.date64()):
        assert parse([datetime.date(2014, 5, 12), None], kind) == [1399852800 * 10**9, "EMPTY"]
    assert parse([3, None, -1], pa.int16()) == [3 * 10**9, "EMPTY", "EARLY"]
    assert parse([2**63, 5], pa.uint64()) == ["LATE", 5 * 10**9]
    # As the same numbers are written in a text file.
    assert parse([2.9, float("nan"), float("inf"), None], pa.float32()) == [
        29 * 10**8,
        "UNREADABLE",
        "UNREADABLE",
        "EMPTY",
    ]
    assert parse([1500000000.123, 1.5e12]) == [1500000000123000000, 1500000000000000000]
    assert parse([decimal.Decimal("1500000000.123456789"), None], pa.decimal128(30, 9)) == [
        1500000000123456789,
        "EMPTY",
    ]
    assert parse([None, None], pa.null()) == ["EMPTY", "EMPTY"]
    assert parse(["5", "x"], pa.dictionary(pa.int8(), pa.string())) == [5 * 10**9, "UNREADABLE"]
    with pytest.raises(InputError, match="f: column `t` holds bool; timestamps must be numbers or dates"):
        parse([True])


def test_floats_are_read_as_pandas_writes_them():
    generator = np.random.default_rng(3)
    values = generator.uniform(0, 9e9, 500).round(6)
    texts = pd.Series(values).to_csv(index=False, header=False).split()
    assert parse(values.tolist()) == parse(texts)


def test_values_that_order_may_be_negative_and_of_any_size():
    values = parse_values(
        pa.chunked_array([pa.array(["-1.25", "9223372036854775807", "2014-05-12", "x"])]),
        path="f",
        name="o",
        what="order",
    )
    assert (values.number | values.date).tolist() == [True, True, True, False]
    assert values.whole.tolist()[:3] == [-2, 2**63 - 1, 1399852800]
    assert values.billionths.tolist()[:3] == [750_000_000, 0, 0]


def test_times_are_shown_as_clocks_or_places():
    assert clock(0) == "0"
    assert clock(23 * 10**9) == "23"
    assert clock(500_000_000) == "0.5"
    assert clock(1399890600 * 10**9) == "2014-05-12T10:30:00Z"
    assert clock(1399890600 * 10**9 + 123000000) == "2014-05-12T10:30:00.123Z"
