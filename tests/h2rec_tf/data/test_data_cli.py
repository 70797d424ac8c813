"""`h2rec data check` and `h2rec data synthesize`, and the options that other commands share."""

import json

import click
import pytest
from click.testing import CliRunner

from h2rec_tf.cli.data import data
from h2rec_tf.cli.options import DataFiles, data_options
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError

INTERACTIONS = ["who,what,when", *(f"u{row % 4},i{row % 5},{row}" for row in range(24)), "u0,i0,0"]
ITEMS = [json.dumps({"sku": f"i{item}", "title": f"Item {item}" if item else ""}) for item in range(10)]
COLUMNS = [
    "--user-column",
    "who",
    "--item-column",
    "what",
    "--timestamp-column",
    "when",
    "--catalogue-item-column",
    "sku",
]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(INTERACTIONS) + "\n")
    (tmp_path / "items.jsonl").write_text("\n".join(ITEMS) + "\n")
    return ["--interactions", str(tmp_path / "a.csv"), "--items", str(tmp_path / "items.jsonl"), *COLUMNS]


def run(*arguments):
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


def test_check_prints_the_facts(files, tmp_path):
    result = run("check", *files, "--json", tmp_path / "out" / "r.json")
    assert result.exit_code == 0, result.output
    lines = {line[:18].strip(): line[18:].strip() for line in result.output.splitlines()}
    assert lines["interactions"] == "24 (25 usable rows, 1 exact repeats dropped)"
    assert lines["users"] == "4"
    assert lines["items"] == "10 (5 without an interaction)"
    assert lines["items without text"] == "1 (1 without title)"
    assert lines["item vectors"] == "none given"
    assert lines["density"] == "60.0000%"
    assert lines["history length"] == "mean 6.0, min 6, 25% 6, median 6, 75% 6, 90% 6, 99% 6, max 6"
    assert lines["long tail"] == "41.7% of interactions on the top 20% of items"
    assert lines["timestamps"] == "0 to 23"
    assert lines["after k-core"] == "24 interactions (0 dropped), 4 users, 5 items"
    assert lines["split"] == "16 training interactions of 4 users, 4 validation and 4 test targets"
    assert "no problems" in result.output
    report = json.loads((tmp_path / "out" / "r.json").read_text())
    assert report["known"] == {"users": 4, "items": 5, "interactions": 24}
    assert report["splits"] == {"train": 16, "validation": 4, "test": 4}
    assert report["problems"] == {"total": 0, "by_kind": {}, "listed": []}


def test_check_lists_problems_and_fails(files, tmp_path):
    with open(tmp_path / "a.csv", "a") as file:
        file.writelines(f"u1,ghost{row},{row}\n" for row in range(25))
    result = run("check", *files, "--json", tmp_path / "r.json")
    assert isinstance(result.exception, InputError)
    assert result.exception.exit_code == 2
    assert "25 bad rows in all, 0 allowed" in str(result.exception)
    assert "25 rejected: 25 unknown item" in result.output
    assert "a.csv:27: column `what`: item 'ghost0' is not in the items file" in result.output
    assert result.output.count("ghost") == 20
    assert "and 5 more" in result.output
    listed = json.loads((tmp_path / "r.json").read_text())["problems"]["listed"]
    assert len(listed) == 25
    assert listed[0] == {
        "file": str(tmp_path / "a.csv"),
        "row": 27,
        "column": "what",
        "kind": "unknown item",
        "message": "item 'ghost0' is not in the items file",
    }
    everything = run("check", *files, "--all", "--max-bad-rows", 25)
    assert everything.exit_code == 0
    assert everything.output.count("ghost") == 25
    assert "more" not in everything.output


def test_check_shows_what_the_k_core_leaves(files):
    result = run("check", *files, "--min-user-interactions", 7)
    assert "after k-core        0 interactions (24 dropped), 0 users, 0 items" in result.output
    assert "the k-core drops all" in str(result.exception)


def test_check_of_unusable_files_writes_nothing(files, tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    result = run("check", *files, "--json", tmp_path / "r.json")
    assert "missing column `who`" in str(result.exception)
    assert not (tmp_path / "r.json").exists()


def test_flags_go_over_the_config_file(tmp_path):
    seen = {}

    @click.command()
    @data_options
    @click.option("--root")
    def command(files: DataFiles, config: Config, root: str) -> None:
        seen.update(files=files, config=config, root=root)

    config = Config().replace(**{"data.user_column": "who", "data.split": "temporal", "model.layers": 1})
    config.save(str(tmp_path / "c.yaml"))
    arguments = ["--interactions", "a", "--items", "b", "--root", "r", "--config", str(tmp_path / "c.yaml")]
    flags = ["--split", "leave_one_out", "--text-column", "x", "--text-column", "y", "--max-bad-rows", "0"]
    assert CliRunner().invoke(command, [*arguments, *flags]).exit_code == 0
    assert seen["files"] == DataFiles("a", "b", None)
    assert seen["root"] == "r"
    assert seen["config"] == config.replace(**{"data.split": "leave_one_out", "data.text_columns": ["x", "y"]})
    wrong = CliRunner().invoke(command, ["--interactions", "a", "--items", "b", "--max-bad-rows", "-1"])
    assert "`data.max_bad_rows` must be at least 0" in str(wrong.exception)
    assert "Missing option '--items'" in CliRunner().invoke(command, ["--interactions", "a"]).output


def test_synthesized_files_pass_the_check(tmp_path):
    result = run("synthesize", tmp_path / "new" / "shop", "--items", 200, "--users", 50, "--seed", 3)
    assert result.exit_code == 0, result.output
    interactions, items = result.output.split()
    check = run("check", "--interactions", interactions, "--items", items)
    assert check.exit_code == 0
    assert "no problems" in check.output
    assert sorted(path.name for path in (tmp_path / "new" / "shop").iterdir()) == ["interactions.csv.gz", "items.jsonl"]
    blocked = run("synthesize", tmp_path / "new" / "shop" / "items.jsonl", "--items", 200, "--users", 50)
    assert "cannot be written" in str(blocked.exception)
