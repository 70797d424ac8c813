"""Doubts are voiced and refuse nothing; data as it should be raises none."""

import html
import json
import logging

import numpy as np
import pytest
from click.testing import CliRunner

from h2rec_tf.cli.data import data
from h2rec_tf.config import DataConfig
from h2rec_tf.data.load import load_dataset
from h2rec_tf.data.synthetic import write_synthetic

ITEMS = [f"i{item}" for item in range(8)]


def rows(users=6, events=5, start=1_500_000_000):
    """User, item, time: like a log of distinct events."""
    return [
        (f"u{user}", ITEMS[(user * 3 + 2 * place) % 8], start + user * 7 + place * 1000)
        for user in range(users)
        for place in range(events)
    ]


def write(tmp_path, log, titles=None):
    (tmp_path / "r.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in log))
    titles = titles or {item: f"Thing {item}" for item in ITEMS}
    (tmp_path / "i.jsonl").write_text(
        "".join(json.dumps({"item_id": item, "title": title}) + "\n" for item, title in titles.items())
    )
    return ["--interactions", str(tmp_path / "r.csv"), "--items", str(tmp_path / "i.jsonl")]


def check(tmp_path, log, *flags, titles=None):
    """Warnings by kind, after `data check`, which ends well."""
    arguments = ["check", *write(tmp_path, log, titles), "--json", str(tmp_path / "r.json"), *flags]
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == 0, result.output
    warnings = json.loads((tmp_path / "r.json").read_text())["warnings"]
    shown = [line for line in result.output.splitlines() if line.startswith(f"  {tmp_path}")]
    assert len(shown) == len(warnings)
    for line, warning in zip(shown, warnings, strict=True):
        assert warning["message"] in line
        assert warning["remedy"] in line
    return {warning["kind"]: warning for warning in warnings}


def test_a_log_as_it_should_be_raises_no_doubt(tmp_path):
    assert not check(tmp_path, rows())
    assert "warning" not in CliRunner().invoke(data, ["check", *write(tmp_path, rows())]).output
    # Places in a sequence are no clock's times, and no ratings either.
    assert not check(tmp_path, [(user, item, place % 5) for place, (user, item, _) in enumerate(rows())])


def test_synthetic_data_raises_no_doubt(tmp_path):
    paths = write_synthetic(str(tmp_path), items=300, users=300, seed=1)
    _, report = load_dataset(*map(str, paths), config=DataConfig())
    assert report.warning_lines() == []


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan", r"\N", "-", "unknown", " NULL"])
def test_a_placeholder_that_is_one_giant_user_or_item(tmp_path, name):
    log = [(name if place % 2 else user, item, time) for place, (user, item, time) in enumerate(rows(12))]
    found = check(tmp_path, log)["placeholder id"]
    assert (found["count"], found["column"]) == (30, "user_id")
    assert f"'{name}'" in found["message"]
    titles = dict.fromkeys([*ITEMS, name], "x")
    log = [(user, name if place % 2 else item, time) for place, (user, item, time) in enumerate(rows(12))]
    assert check(tmp_path, log, titles=titles)["placeholder id"]["column"] == "item_id"
    # One like the others is somebody's name.
    assert "placeholder id" not in check(
        tmp_path, [*rows(), *((name, item, 1_500_000_000 + place) for place, item in enumerate(ITEMS))]
    )


def test_blanks_at_edges_and_ids_that_look_alike(tmp_path):
    log = [
        (f"{user} " if place % 7 == 0 else user.upper() if place % 7 == 1 else user, item, time)
        for place, (user, item, time) in enumerate(rows())
    ]
    found = check(tmp_path, log)
    edges = {user for user, _, _ in log if user != user.strip()}
    assert (found["blank at the edge of ids"]["count"], "blank" in found["blank at the edge of ids"]["message"]) == (
        len(edges),
        True,
    )
    folded = [user.strip().lower() for user in {user for user, _, _ in log}]
    assert found["ids that look alike"]["count"] == sum(folded.count(name) > 1 for name in folded)
    titles = dict.fromkeys([*ITEMS, "I0", "i1 "], "x")
    found = check(tmp_path, rows(), titles=titles)
    assert found["ids that look alike"]["count"] == 4
    assert found["ids that look alike"]["example"] == "'I0' and 'i0'"
    assert found["blank at the edge of ids"]["example"] == "'i1 '"


def test_one_time_for_all(tmp_path):
    found = check(tmp_path, [(user, item, 1_500_000_000) for user, item, _ in rows()])
    assert list(found) == ["same time"]
    assert "same time, 2017-07-14T02:40:00Z" in found["same time"]["message"]
    assert "--order-column" in found["same time"]["remedy"]
    # Without times there is nothing to doubt about them.
    assert not check(tmp_path, [(user, item, 1_500_000_000) for user, item, _ in rows()], "--time", "none")


def test_ratings_in_place_of_times(tmp_path):
    found = check(tmp_path, [(user, item, 4 + (place % 4 == 0)) for place, (user, item, _) in enumerate(rows(8, 8))])
    assert list(found) == ["ratings as times"]
    assert "among 4, 5," in found["ratings as times"]["message"]


def test_ties_beyond_half(tmp_path):
    log = [(user, item, time // 10**5 * 10**5) for user, item, time in rows(8)]
    assert check(tmp_path, [*log, *rows(1, 1, start=1_600_000_000)])["many ties"]["count"] == 24


def test_units_and_spellings_side_by_side(tmp_path):
    log = [(user, item, time * (1000 if place % 4 == 0 else 1)) for place, (user, item, time) in enumerate(rows())]
    found = check(tmp_path, log)
    assert list(found) == ["mixed units"]
    message = found["mixed units"]["message"]
    assert "22 seconds (first in row 3, 1500001000), 8 milliseconds (first in row 2, 1500000000000)" in message
    assert found["mixed units"]["count"] == 8
    log = [(user, item, "2017-07-14" if place == 9 else time) for place, (user, item, time) in enumerate(rows())]
    assert "1 dates without a zone (first in row 11, 2017-07-14)" in check(tmp_path, log)["mixed spellings"]["message"]


def test_the_first_rows_of_several_files_name_the_file(tmp_path):
    arguments = write(tmp_path, rows())
    (tmp_path / "log").mkdir()
    for part, unit in enumerate((1, 1000)):
        lines = [f"{user},{item},{(time + part) * unit}\n" for user, item, time in rows()]
        (tmp_path / "log" / f"part-{part}.csv").write_text("user_id,item_id,timestamp\n" + "".join(lines))
    _, report = load_dataset(str(tmp_path / "log"), arguments[3], config=DataConfig())
    (found,) = report.warnings
    assert f"30 milliseconds (first in {tmp_path}/log/part-1.csv:2, 1500000001000)" in found.message


def test_times_of_no_clock(tmp_path):
    late = np.datetime64("2200-01-01", "s").astype(int)
    found = check(tmp_path, [*rows(), ("u0", "i1", 0), ("u1", "i1", late), ("u2", "i1", f"{late}.0000000001")])
    assert list(found) == ["cut digits", "times near 1970", "times in the future"]
    assert [found[kind]["count"] for kind in found] == [1, 1, 2]
    found = check(tmp_path, [(user, item, 20120401 + place % 28) for place, (user, item, _) in enumerate(rows())])
    assert list(found) == ["dates in digits"]


def test_entities_in_titles(tmp_path):
    titles = {item: html.escape(f"Salt & Pepper {item}") for item in ITEMS} | {"i7": "R&D; AT&T &c."}
    found = check(tmp_path, rows(), titles=titles)["HTML entities"]
    assert (found["count"], found["column"]) == (7, "title")
    assert not check(tmp_path, rows(), titles=dict.fromkeys(ITEMS, "R&D, AT&T &c. &nonsense;"))


def test_outlandish_shares_and_histories_of_one_item(tmp_path):
    generator = np.random.default_rng(0)
    log = [
        (f"u{user}", ITEMS[item], time)
        for time, (user, item) in enumerate(generator.integers((50, 8), size=(900, 2)), 10**9)
    ]
    robot = [("robot", ITEMS[place % 8], 10**9 + place) for place in range(2000)]
    found = check(tmp_path, [*log, *robot])["outlandish share"]
    assert found["message"].startswith("user 'robot' has 2,000 of 2,900 events")
    assert not check(tmp_path, [*log, *robot[:500]])
    found = check(tmp_path, [*log, *(("fan", "i0", 10**9 + place) for place in range(5))])["history of one item"]
    assert (found["count"], found["example"]) == (1, "fan")


def test_a_run_voices_doubts_once(tmp_path, caplog):
    arguments = write(tmp_path, [(user, item, 1_500_000_000) for user, item, _ in rows()])
    with caplog.at_level(logging.WARNING, logger="h2rec_tf.data.doubts"):
        load_dataset(arguments[1], arguments[3], config=DataConfig())
    assert [record.getMessage()[:9] for record in caplog.records] == ["warning: "]
    assert "same time" in caplog.text
