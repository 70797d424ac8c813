"""The commands against a running service: what a user types and reads."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from h2rec_tf.cli.main import cli
from h2rec_tf.errors import InputError
from serving.client import ServerError
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer


@pytest.fixture
def service(tmp_path):
    with RetrievalServer(RetrievalOptions(data_dir=str(tmp_path / "items"), width=2, port=0)) as running:
        yield running


def run(service, *words: str) -> str:
    command = ["retrieval", words[0], "--target", service.target, *words[1:]]
    return CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False).output


def test_a_file_of_vectors_is_loaded_asked_changed_saved_and_restored(service, tmp_path):
    rows = [{"item_id": f"i{n}", "title": f"Title {n}", "v": [n, 1.0]} for n in range(1, 4)]
    file = tmp_path / "items.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert run(service, "upsert", "--items", str(file), "--vector-column", "v") == (
        "added 3 items, replaced 0 (write 1)\n"
    )
    table = run(service, "query", "--similar-to", "i1", "--exclude", "i2").splitlines()
    assert [line.split() for line in table] == [["rank", "score", "item", "title"], ["1", "4.0000", "i3", "Title", "3"]]
    assert run(service, "delete", "i3", "none") == "deleted 1 of 2 (write 2)\n"
    hits = json.loads(run(service, "query", "--similar-to", "i1", "--json"))
    assert hits == [{"item_id": "i2", "title": "Title 2", "score": 3.0}]
    assert run(service, "rebalance") == "index of kind brute for 2 items\n"
    status = json.loads(run(service, "status", "--json"))
    assert (status["items"], status["sequence"], status["snapshot_sequence"]) == (2, 2, 2)
    folder = run(service, "snapshot").split()[-1]

    target = str(tmp_path / "restored")
    restore = ["retrieval", "restore", "--from", folder, "--data-dir", target]
    assert "2 items in" in CliRunner().invoke(cli, restore, standalone_mode=False).output
    with RetrievalServer(RetrievalOptions(data_dir=target, width=2, port=0)) as again:
        assert "Title 2" in run(again, "query", "--similar-to", "i1")
        assert run(again, "delete", "i2") == "deleted 1 of 1 (write 3)\n"
    # Not over something else.
    with pytest.raises(InputError, match="is not empty; restore into a new folder"):
        CliRunner().invoke(cli, restore, standalone_mode=False, catch_exceptions=False)
    with pytest.raises(InputError, match="no snapshot here"):
        CliRunner().invoke(
            cli,
            ["retrieval", "restore", "--from", str(tmp_path), "--data-dir", str(tmp_path / "new")],
            standalone_mode=False,
            catch_exceptions=False,
        )
    assert not (tmp_path / "new").exists()


def test_what_is_asked_wrongly_is_one_line(service):
    for words, message in (
        (["upsert"], "give either --items FILE or --item-id ID"),
        (["query"], "give either --history or --similar-to"),
        (["upsert", "--item-id", "a", "--text", "words"], "no model to make vectors with"),
        (["query", "--history", "a"], 'key "serving_default" not found'),
        (["delete", ""], "must not be empty"),
    ):
        with pytest.raises((InputError, ServerError), match=message) as caught:
            run(service, *words)
        assert "\n" not in str(caught.value)


def test_nobody_there_is_said_with_the_remedy(service):
    target = service.target
    service.stop()
    with pytest.raises(ServerError, match=r"no retrieval service answers at .*h2rec retrieval serve"):
        command = ["retrieval", "status", "--target", target, "--timeout", "1"]
        CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False)


def test_vectors_survive_the_way_through_the_log_bit_by_bit(tmp_path):
    from stores import open_engine, upsert_of

    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    with open_engine(tmp_path, 3) as engine:
        engine.write(upsert_of([f"i{n}" for n in range(50)], vectors))
    with open_engine(tmp_path, 3) as engine:
        assert np.array_equal(np.stack(engine.index.vectors([f"i{n}" for n in range(50)])), vectors)
