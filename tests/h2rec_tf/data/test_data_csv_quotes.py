"""What quotes mean in CSV and TSV: Python's csv decides, and where it cannot know, rows are refused and counted."""

import csv
import io
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import run_python

from h2rec_tf.data import csv_table
from h2rec_tf.data.problems import Problems
from h2rec_tf.data.stream import read_pieces
from h2rec_tf.data.tables import read_table
from h2rec_tf.data.text_format import TextFormat

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("quotes")


def read(path, columns=NAMES, **text):
    """Rows, first lines of rows, problems."""
    problems = Problems()
    table = read_table(str(path), columns, problems, text=TextFormat(**text))
    values = [column.to_pylist() for column in table.columns.values()]
    lines = table.locate(np.arange(len(table))).tolist()
    # UTF-8 that is damaged is counted apart from the reader's rows.
    assert len(lines) + problems.total == table.rows_in_file
    return list(zip(*values, strict=True)), lines, problems


def read_in_pieces(path, columns=NAMES, **text):
    """The same by the reader of streams."""
    rows, lines, problems = [], [], Problems()
    for piece in read_pieces(str(path), columns, text=TextFormat(**text)):
        problems.extend(piece.problems)
        table = piece.table(problems)
        rows += zip(*(column.to_pylist() for column in table.columns.values()), strict=True)
        lines += table.locate(np.arange(len(table))).tolist()
    return rows, lines, problems


def by_csv(text, width=3, **options):
    """Rows of the right width as Python's csv module reads them, without the header."""
    rows = csv.reader(io.StringIO(text, newline=""), **options)
    return [tuple(row) for row in itertools.islice(rows, 1, None) if len(row) == width]


PARTS = st.sampled_from(["a", "b", ",", '"', '""', "\n", "\r\n", "\r", "é", " ", '","', '"\n"', ',"', '",', "x,y,z\n"])
MESS = st.lists(PARTS, max_size=30).map("".join)


def lines_of(text):
    return [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]


@given(content=MESS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_text_is_read_as_csv_reads_it_or_rows_are_counted(directory, content):
    text = "a,b,c\n" + content
    path = directory / "mess.csv"
    path.write_bytes(text.encode())
    if not content.strip("\r\n"):
        return
    rows, lines, problems = read(path)
    assert lines == sorted(set(lines))
    if not problems.total and not problems.notes:
        records = [tuple(row) for row in csv.reader(io.StringIO(text, newline="")) if row][1:]
        assert rows == records
    # No row is made of more than what the file's lines from there on hold.
    assert len(rows) + problems.total <= len(lines_of(content)) + content.count('"')
    assert (rows, lines, problems.counts) == (*(found := read_in_pieces(path))[:2], found[2].counts)


@given(
    rows=st.lists(st.tuples(*[st.text(st.sampled_from('ab ,;|"\n\té'), max_size=5)] * 3), min_size=1, max_size=12),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";", "|", "\t"]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_what_csv_and_pandas_write_is_read(directory, rows, quoting, end, delimiter):
    """Well-formed files, with line breaks and delimiters in fields, are read whole if quotes are trusted."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting, lineterminator=end, delimiter=delimiter).writerows([NAMES, *rows])
    path = directory / "well.csv"
    path.write_bytes(buffer.getvalue().encode())
    found, _, problems = read(path, delimiter=delimiter, quoting="double")
    assert problems.total == 0
    assert found == by_csv(buffer.getvalue(), delimiter=delimiter) == rows
    pd.DataFrame(rows, columns=list(NAMES)).to_csv(path, index=False, sep=delimiter)
    assert read(path, delimiter=delimiter, quoting="double")[0] == rows


@given(rows=st.lists(st.tuples(*[st.text(st.sampled_from('ab ,"é'), max_size=5)] * 3), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_quotes_between_tabs_are_text(directory, rows):
    text = "\n".join("\t".join(row) for row in [NAMES, *rows]) + "\n"
    path = directory / "tabs.tsv"
    path.write_bytes(text.encode())
    assert read(path)[0] == by_csv(text, delimiter="\t", quoting=csv.QUOTE_NONE) == rows


def songs(delimiter, quoted):
    rows = [(f"u{row % 4}", f"i{row}", str(row), "x") for row in range(40)]
    rows = [(*row[:3], quoted.get(place, "x")) for place, row in enumerate(rows)]
    return (
        delimiter.join(("user_id", "item_id", "timestamp", "note"))
        + "\n"
        + "".join(delimiter.join(row) + "\n" for row in rows)
    )


COLUMNS = ("user_id", "item_id", "timestamp")
ALL = [(f"u{row % 4}", f"i{row}", str(row)) for row in range(40)]


@pytest.mark.parametrize("quoted", [{3: '"open', 9: '"open'}, {3: '"Heroes" (live)'}, {39: '"open'}, {5: 'So "Far"'}])
def test_an_unpaired_quote_takes_no_row(tmp_path, quoted):
    """In a column that nobody reads the quote is text, and it is shown how many there are."""
    (tmp_path / "a.csv").write_text(songs(",", quoted))
    rows, lines, problems = read(tmp_path / "a.csv", COLUMNS)
    assert rows == ALL
    assert lines == list(range(2, 42))
    assert problems.total == 0
    odd = sum(note.startswith('"') for note in quoted.values())
    assert list(problems.notes.values()) == ([odd] if odd else [])
    # Python's own csv module swallows rows here, or takes the quotes away.
    (tmp_path / "a.tsv").write_text(songs("\t", quoted))
    rows, _, problems = read(tmp_path / "a.tsv", (*COLUMNS, "note"))
    assert [row[3] for row in rows] == [quoted.get(row, "x") for row in range(40)]
    assert not problems.notes


def test_an_unpaired_quote_in_a_column_that_is_read_rejects_its_row(tmp_path):
    (tmp_path / "a.csv").write_text(songs(",", {3: '"open', 9: '"Heroes" (live)', 12: '"two", and 12"'}))
    rows, _, problems = read(tmp_path / "a.csv", (*COLUMNS, "note"))
    assert [row[:3] for row in rows] == [row for place, row in enumerate(ALL) if place not in (3, 9, 12)]
    found = [(problem.row, problem.column) for problem in problems.ordered()]
    assert found == [(5, "note"), (11, "note"), (14, "")]
    assert "--quoting none" in problems.ordered()[0].message
    rows, _, problems = read(tmp_path / "a.csv", (*COLUMNS, "note"), quoting="none")
    assert [(problem.row, problem.message[:29]) for problem in problems.ordered()] == [
        (14, "5 fields, the header has 4; p")
    ]


def test_rows_between_two_stray_quotes_are_refused(tmp_path):
    """The second quote closes the first one properly, as csv reads it; but each line between is a row of its own."""
    text = songs(",", {3: '"open', 20: '12"'})
    (tmp_path / "a.csv").write_text(text)
    assert len(by_csv(text, 4)) == 23
    rows, _, problems = read(tmp_path / "a.csv", COLUMNS)
    assert rows == ALL[:3] + ALL[21:]
    (problem,) = problems.ordered()
    assert (problem.row, problems.total) == (5, 18)
    assert "closes 17 lines below" in problem.message
    assert "--quoting none" in problem.message
    assert "--quoting double" in problem.message
    assert read(tmp_path / "a.csv", COLUMNS, quoting="none")[0] == ALL
    assert len(read(tmp_path / "a.csv", COLUMNS, quoting="double")[0]) == 23


def test_texts_of_several_lines_are_read(tmp_path):
    text = songs(",", {3: '"one\ntwo, three\n""four"""', 8: '"\n\n"'})
    (tmp_path / "a.csv").write_text(text)
    rows, lines, problems = read(tmp_path / "a.csv", (*COLUMNS, "note"))
    assert rows == by_csv(text, 4)
    assert problems.total == 0
    assert lines[:6] == [2, 3, 4, 5, 8, 9]


@pytest.mark.parametrize("block", [64, 100, 257])
def test_blocks_cut_anywhere_change_nothing(tmp_path, monkeypatch, block):
    notes = {
        1: '"one\ntwo\nthree, four and more words here"',
        3: '"open',
        7: '"' + "long " * 60 + '\n"',
        9: 'x"y',
        30: '"z"',
    }
    for delimiter, name in ((",", "a.csv"), ("\t", "a.tsv")):
        (tmp_path / name).write_text(songs(delimiter, notes) + "\nbad\n\n" + songs(delimiter, {})[40:])
        whole = read(tmp_path / name, COLUMNS)
        with monkeypatch.context() as patched:
            patched.setattr(csv_table, "_BLOCK_BYTES", block)
            cut = read(tmp_path / name, COLUMNS)
            pieces = read_in_pieces(tmp_path / name, COLUMNS)
        for found in (cut, pieces):
            assert found[:2] == whole[:2]
            assert found[2].ordered() == whole[2].ordered()
            assert found[2].notes == whole[2].notes


def test_a_quote_that_nothing_closes_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "_BLOCK_BYTES", 256)
    monkeypatch.setattr("h2rec_tf.data.csv_blocks._LONGEST_RECORD", 1000)
    text = songs(",", {3: '"open'}) * 1
    rows = "".join(f"u,i,{row},x\n" for row in range(1000))
    (tmp_path / "a.csv").write_text(text + rows)
    found, _, problems = read(tmp_path / "a.csv", COLUMNS)
    assert len(found) == 1040
    assert list(problems.notes.values()) == [1]


def test_arrow_gets_nothing_of_pythons(tmp_path, monkeypatch):
    """No function, file or bytes: an Arrow thread that needs the interpreter's lock at its end aborts the process."""
    given = []

    def spied(function):
        return lambda *args, **options: given.extend([*args, *options.values()]) or function(*args, **options)

    for name in ("open_csv", "ReadOptions", "ParseOptions", "ConvertOptions"):
        monkeypatch.setattr(csv_table.arrow_csv, name, spied(getattr(csv_table.arrow_csv, name)))
    monkeypatch.setattr(csv_table.pa, "BufferReader", spied(csv_table.pa.BufferReader))
    for content in (songs(",", {}), songs(",", {3: '"open'}) + "bad\n"):
        (tmp_path / "a.csv").write_text(content)
        read(tmp_path / "a.csv", COLUMNS)
        read_in_pieces(tmp_path / "a.csv", COLUMNS)
    assert given
    for value in given:
        assert not callable(value)
        assert not isinstance(value, bytes)
        assert not hasattr(value, "read") or isinstance(value, csv_table.pa.NativeFile)
    buffers = [value for value in given if isinstance(value, csv_table.pa.Buffer)]
    # Of Python's memory a buffer is not mutable.
    assert buffers
    assert all((buffer.parent or buffer).is_mutable for buffer in buffers)


@pytest.mark.slow
def test_processes_end_well(tmp_path):
    """Slow for the number of processes: before, some in a hundred aborted after they had done all."""
    (tmp_path / "a.csv").write_text(songs(",", {3: '"open'}) + "bad\n")
    code = (
        "import sys; from h2rec_tf.data.problems import Problems; from h2rec_tf.data.tables import read_table; "
        "print(len(read_table(sys.argv[1], ('user_id',), Problems())))"
    )
    for _ in range(40):
        assert run_python(code, str(tmp_path / "a.csv")).stdout == "40\n"


def test_tsv_whose_header_is_quoted_is_quoted(tmp_path):
    """As R's write.table and pandas' QUOTE_ALL write it."""
    frame = pd.DataFrame(ALL, columns=list(COLUMNS)).assign(note='a\tb "c"')
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False, quoting=csv.QUOTE_ALL)
    rows, _, problems = read(tmp_path / "a.tsv", (*COLUMNS, "note"))
    assert rows == [(*row, 'a\tb "c"') for row in ALL]
    assert problems.total == 0


def test_a_tsv_field_in_quotes_with_a_tab_says_how_to_read_it(tmp_path):
    frame = pd.DataFrame(ALL, columns=list(COLUMNS)).assign(note="a\tb")
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    _, _, problems = read(tmp_path / "a.tsv", COLUMNS)
    assert problems.total == 40
    assert "5 fields, the header has 4; pass --quoting double" in problems.ordered()[0].message
    assert len(read(tmp_path / "a.tsv", COLUMNS, quoting="double")[0]) == 40
