"""Delimiters, headers, quoting and encodings that are said, and what files that were not understood are called."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from h2rec_tf.cli.data import data
from h2rec_tf.errors import InputError

ITEMS = "item_id,title\n" + "".join(f"{item},Thing {item}\n" for item in range(1, 9))
EVENTS = [
    (user, (user * 3 + step * 2) % 8 + 1, 1_500_000_000 + user * 7 + step * 1000)
    for user in range(6)
    for step in range(5)
]
NAMES = ("user_id", "item_id", "timestamp")
GOOD = "user_id,item_id,timestamp\n" + "".join(f"u{user},{item},{time}\n" for user, item, time in EVENTS)


def lines(pattern, header=""):
    return header + "".join(pattern.format(u=f"u{user}", i=item, t=time) + "\n" for user, item, time in EVENTS)


@pytest.fixture
def check(tmp_path):
    """Runs `h2rec data check` on files of the given contents; gives the report, or the text of the error."""

    def run(interactions, *options, items=ITEMS, name="a.csv", items_name="i.csv"):
        for path, content in ((tmp_path / name, interactions), (tmp_path / items_name, items)):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        files = ["--interactions", str(tmp_path / name), "--items", str(tmp_path / items_name)]
        result = CliRunner().invoke(data, ["check", *files, *options, "--json", str(tmp_path / "report.json")])
        if result.exit_code == 0:
            return json.loads((tmp_path / "report.json").read_text())
        assert isinstance(result.exception, InputError), result.output
        assert result.exception.exit_code == 2
        assert "\n" not in str(result.exception)
        return str(result.exception)

    return run


def whole(report):
    assert isinstance(report, dict), report
    counts = (report["rows_in_file"], report["rows"], report["known"]["users"], report["catalogue_items"])
    assert (*counts, report["known"]["interactions"]) == (30, 30, 6, 8, 30)
    return report


@pytest.mark.parametrize(
    ("content", "name", "options"),
    [
        (lines("{u}::{i}::5::{t}"), "r.dat", ["--delimiter", "::", "--columns", "user_id,item_id,rating,timestamp"]),
        (lines("{u};{i};{t}", "user_id;item_id;timestamp\n"), "a.csv", ["--delimiter", ";"]),
        (lines("{u}|{i}|{t}", "user_id|item_id|timestamp\n"), "u.data", ["--delimiter", "|"]),
        (lines("{u} {i} {t}"), "a.txt", ["--delimiter", " ", "--columns", "user_id,item_id,timestamp"]),
        (lines("{u}\x01{i}\x01{t}"), "hive", ["--delimiter", r"\x01", "--columns", ",".join(NAMES)]),
        (lines("{u}\t{i}\t{t}", "user_id\titem_id\ttimestamp\n"), "a.csv", ["--delimiter", r"\t"]),
        (lines("{u}¦{i}¦{t}", "user_id¦item_id¦timestamp\n"), "a.csv", ["--delimiter", "¦"]),
        # The stand-in for a delimiter of several bytes is in the content.
        (lines("{u}::{i}::\x1f\x1e::{t}"), "r.dat", ["--delimiter", "::", "--columns", "user_id,item_id,x,timestamp"]),
        (lines("{u}\t{t}\t30.2\t{i}"), "checkins.txt", ["--columns", "user_id,timestamp,latitude,item_id"]),
        (lines("{u},{i},{t}"), "a.csv", ["--no-header", "--columns", "user_id,item_id,timestamp"]),
        (GOOD, "a.csv", ["--columns", "user_id,item_id,timestamp"]),
        (lines("{u},{i},{t}", "who,what,when\n"), "a.csv", ["--header", "--columns", "user_id,item_id,timestamp"]),
        (lines("{u}\t{i}\t3\t{t}", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"), "a.inter", []),
        (GOOD.encode("utf-16"), "a.csv", ["--encoding", "utf-16", "--catalogue-encoding", "utf-8"]),
        (b"\xef\xbb\xbf" + GOOD.encode(), "a.csv", []),
        (gzip.compress(GOOD[:100].encode()) + gzip.compress(GOOD[100:].encode()) + bytes(512), "a.csv.gz", []),
        (GOOD.replace("\n", "\r"), "a.csv", []),
    ],
)
def test_shapes_that_are_read(check, content, name, options):
    whole(check(content, *options, name=name))


def test_items_have_options_of_their_own(check):
    movies = "".join(f"{item}::Película {item}::A|B\n" for item in range(1, 9)).encode("latin-1")
    described = ["--catalogue-delimiter", "::", "--catalogue-columns", "item_id,title,genres"]
    whole(check(GOOD, *described, "--encoding", "latin-1", items=movies, items_name="movies.dat"))
    whole(check(GOOD, *described, "--catalogue-encoding", "latin-1", items=movies, items_name="movies.dat"))
    typed = "item_id:token\tmovie_title:token_seq\n" + ITEMS.partition("\n")[2].replace(",", "\t")
    whole(check(GOOD, items=typed, items_name="a.item"))
    quoted = "item_id\ttitle\n" + "".join(f'{item}\t"Heroes {item}\n' for item in range(1, 9))
    whole(check(GOOD, items=quoted, items_name="i.tsv"))
    single = ITEMS.replace("Thing 3", '"Heroes')
    assert "i.csv:4: column `title`: a quote opens" in check(GOOD, items=single)
    whole(check(GOOD, "--catalogue-quoting", "none", items=single))
    jsonl = "".join(
        json.dumps({"item_id": str(i), "title": f"Película {i}"}, ensure_ascii=False) + "\n" for i in range(1, 9)
    )
    whole(check(GOOD, "--encoding", "latin-1", items=jsonl.encode("latin-1"), items_name="i.jsonl"))


def archive(kind):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("a.csv", GOOD)
    elif kind == "tar.gz":
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            file.addfile(tarfile.TarInfo("a.csv"), io.BytesIO(b""))
    elif kind == "npy":
        np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (lines("{u}::{i}::5::{t}"), "r.dat", ["`::`", "--delimiter '::'", "no header line", "--columns"]),
        (lines("{u};{i};{t}", "user_id;item_id;timestamp\n"), "a.csv", ["semicolon", "--delimiter ';'"]),
        (lines("{u}\t{i}\t{t}", "user_id\titem_id\ttimestamp\n"), "a.csv", ["a tab", r"--delimiter '\t'"]),
        (lines("{u},{i},{t}", "user_id,item_id,timestamp\n"), "a.tsv", ["`,`", "--delimiter ','"]),
        (lines("{u} {i} {t}"), "a.txt", ["a space", "no header line"]),
        (lines("{u},{i},{t}"), "a.csv", ["a.csv:", "no header line, the first row is data", "--columns"]),
        (lines('"{u}"\t{i}\t{t}', '"user_id"\titem_id\ttimestamp\n'), "a.tsv", ['the file has "user_id"']),
        (GOOD.encode("utf-16"), "a.csv", ["UTF-16", "--encoding utf-16"]),
        (json.dumps([{"user_id": "u"}]), "a.json", ["JSON array", "one object a line"]),
        ("{'user_id': 'u', 'early': False}\n", "a.json", ["Python literals", "double quotes"]),
        (lines('{{"user_id": "{u}"}}'), "a.csv", ["JSON", "name the file .jsonl"]),
        (archive("zip"), "a.csv", ["zip archive", "unzip"]),
        (archive("zip"), "a.xlsx", ["Excel", "save the sheet as CSV"]),
        (archive("tar.gz"), "a.csv.gz", ["tar archive"]),
        (archive("npy"), "a.csv", ["NumPy"]),
        (lzma.compress(GOOD.encode()), "a.csv.xz", ["xz -d"]),
        (bz2.compress(GOOD.encode()), "a.csv.bz2", ["bunzip2"]),
        (b"\x28\xb5\x2f\xfd" + bytes(40), "a.csv.zst", ["zstd -d"]),
        (gzip.compress(gzip.compress(GOOD.encode())), "a.csv.gz", ["gzip inside gzip"]),
        (pickle.dumps({"user_id": ["u"]}), "a.pkl", ["Python pickle"]),
        ("<!DOCTYPE html>\n<p>log in</p>\n", "a.csv", ["HTML page"]),
    ],
)
def test_what_is_not_understood_is_named(check, content, name, words):
    message = check(content, name=name)
    for word in [name, *words]:
        assert word in message


def test_words_that_begin_like_signatures_are_text(check):
    whole(check("ORC_note," + GOOD.replace("\n", "\n,")[:-1], name="a.csv"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delimiter", '"'], ["--delimiter", "without quotes"]),
        (["--delimiter", "::", "--quoting", "double"], ["--quoting double", "one ASCII character"]),
        (["--no-header"], ["--columns NAME,NAME"]),
        (["--columns", "a,a"], ["'a' is blank or stands twice"]),
        (["--columns", "user_id,item_id"], ["a.csv:1", "--columns has 2 names, and the first row 3 fields"]),
        (["--encoding", "klingon"], ["encoding 'klingon'", "no such text encoding"]),
        (["--encoding", "zlib"], ["no such text encoding"]),
        (["--catalogue-encoding", "klingon"], ["--catalogue-encoding 'klingon'"]),
        (["--columns", "who,what,when"], ["a.csv:1", "may be a header or data", "--no-header", "--header"]),
    ],
)
def test_options_that_cannot_be(check, options, words):
    message = check(GOOD, *options)
    for word in words:
        assert word in message


def test_options_of_delimited_text_do_not_go_with_other_formats(check):
    jsonl = "".join(json.dumps(dict(zip(NAMES, event, strict=True))) + "\n" for event in EVENTS)
    assert "is JSON Lines, which has no delimiter" in check(jsonl, "--delimiter", ";", name="a.jsonl")
    assert "--catalogue-delimiter" in check(
        GOOD, "--catalogue-columns", "item_id", items='{"item_id": 1}', items_name="i.jsonl"
    )


def test_bytes_of_another_encoding(check):
    latin = ITEMS.replace("Thing", "Película").encode("latin-1")
    message = check(GOOD, items=latin)
    assert "no usable item is left" in message
    assert "i.csv:2: column `title`: not UTF-8 (byte 0xed)" in message
    assert "--catalogue-encoding latin-1" in message
    report = whole(check(GOOD, "--encoding", "latin-1", items=latin))
    assert report["items_without_title"] == 0
    # cp1252 has no character 0x81: that row is rejected, the others are read.
    odd = GOOD.replace("u0", "ü0").encode("cp1252") + b"\x81,1,1500000000\n"
    message = check(odd, "--encoding", "cp1252")
    assert "a.csv:32: column `user_id`: not cp1252 (byte 0x81)" in message
    assert "1 bad row in all" in message
    assert "the content is not utf-16" in check(GOOD, "--encoding", "utf-16", "--catalogue-encoding", "utf-8")


def test_rows_read_and_rejected_are_all_rows(check):
    bad = "u1,1\nu1,1,soon\n,1,1500000000\nu1,1,-5\nu\x00,1,1500000000\n\n" + 'u1,"1,1500000000\n'
    report = check(GOOD + bad, "--max-bad-rows", "6")
    assert (report["rows_in_file"], report["rows"], report["problems"]["total"]) == (36, 30, 6)
    assert [problem["row"] for problem in report["problems"]["listed"]] == [32, 33, 34, 35, 36, 38]


def test_where_no_row_is_left_the_causes_are_named(check):
    rows = "user_id,item_id,timestamp\nu,1,31/12/2012 soon\nu,1\nu,1,never\n,2,5\n"
    message = check(rows, "--max-bad-rows", "9")
    assert "no usable row is left (4 rejected): " in message
    assert "a.csv:2: column `timestamp`: '31/12/2012 soon'" in message
    assert "a.csv:3: 2 fields, the header has 3" in message
    assert "a.csv:5: column `user_id`: empty user id" in message
    assert "never" not in message
    items = check(GOOD, items="item_id,title\n,x\n,y\n")
    assert "no usable item is left of the file's rows (2 rejected): " in items
    assert "i.csv:2: column `item_id`: empty item id" in items


@pytest.mark.parametrize(
    ("character", "name"), [("\n", "a line break"), ("\t", "a tab"), ("\x00", "U+0000"), ("\u2028", "a line break")]
)
def test_ids_with_control_characters_are_refused(check, character, name):
    message = check(GOOD, items=ITEMS + f'"9{character}9",x\n')
    assert "i.csv:10: column `item_id`: the id" in message
    assert name in message
    message = check(GOOD + f'"u{character}0",1,1500000000\n')
    assert "a.csv:32: column `user_id`: the id" in message


@pytest.mark.parametrize(
    ("content", "items", "options", "settings", "words"),
    [
        ("u,1,1\nu,1,2\nu,1,3\nu,1,4\n", "1,x\n", [], {}, ["i.csv", "the catalogue has one item"]),
        ("u,1,1\nu,2,2\nu,3,3\n", None, [], {}, ["no user has two or more items in the training split"]),
        (None, None, ["--split", "temporal", "--validation-fraction", "0"], {}, ["split validation has no example"]),
        (None, None, ["--split", "temporal", "--test-fraction", "0"], {}, ["split test has no example"]),
        (
            None,
            None,
            [],
            {"validation": {"max_history": 3}},
            ["history has 4 items", "validation.max_history allows 3"],
        ),
        (None, None, [], {"text": {"encoder": "vectors"}}, ["text.encoder is vectors"]),
        (
            "".join(f"u{link},{item},{item}\n" for link in range(1, 7) for item in (link, link + 1)),
            None,
            ["--min-user-interactions", "2", "--min-item-interactions", "2"],
            {"data": {"k_core_rounds": 1}},
            ["no interaction is left"],
        ),
    ],
)
def test_what_later_steps_refuse_is_refused_here(check, tmp_path, content, items, options, settings, words):
    (tmp_path / "c.yaml").write_text(json.dumps(settings))
    content = GOOD if content is None else "user_id,item_id,timestamp\n" + content
    items = ITEMS if items is None else "item_id,title\n" + items
    message = check(content, *options, "--config", str(tmp_path / "c.yaml"), items=items)
    for word in words:
        assert word in message


def test_a_k_core_that_the_pipeline_cannot_settle_is_refused(check, tmp_path):
    """A dense part, and a chain that loses one end a round."""
    dense = "".join(f"d{user},{item},{item}\n" for user in range(4) for item in range(1, 6))
    chain = "".join(f"c{link},{item},{item}\n" for link in range(20, 30) for item in (link, link + 1))
    items = "item_id,title\n" + "".join(f"{item},x{item}\n" for item in (*range(1, 6), *range(20, 31)))
    options = ["--min-user-interactions", "2", "--min-item-interactions", "2", "--config", str(tmp_path / "c.yaml")]
    (tmp_path / "c.yaml").write_text("data: {k_core_rounds: 2}")
    message = check("user_id,item_id,timestamp\n" + dense + chain, *options, items=items)
    assert "2 rounds of dropping did not come to rest; raise data.k_core_rounds" in message
    (tmp_path / "c.yaml").write_text("data: {k_core_rounds: 12}")
    assert check("user_id,item_id,timestamp\n" + dense + chain, *options, items=items)["core"]["interactions"] == 20


def test_other_commands_take_the_options_too(tmp_path):
    from h2rec_tf.cli.semantic_ids import semantic_ids
    from h2rec_tf.config import DataConfig
    from h2rec_tf.index.queries import histories_of_users

    (tmp_path / "i.csv").write_text("item_id;title\n;Thing\n")
    arguments = ["build", "--items", str(tmp_path / "i.csv"), "--output", str(tmp_path / "out")]
    assert "missing column `item_id`" in str(CliRunner().invoke(semantic_ids, arguments).exception)
    read = CliRunner().invoke(semantic_ids, [*arguments, "--catalogue-delimiter", ";", "--max-bad-rows", "1"])
    assert "i.csv:2: column `item_id`: empty item id" in str(read.exception)
    (tmp_path / "r.dat").write_text(lines("{u}::{i}::{t}"))
    config = DataConfig(delimiter="::", columns=NAMES)
    histories = histories_of_users(str(tmp_path / "r.dat"), 9, config)
    assert sorted(map(len, histories)) == [5] * 6
