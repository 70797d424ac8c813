"""`h2rec serve` and `h2rec recommend` as somebody meets them first."""

import json
import logging
import socket
import sys
import threading

import pytest
import toy_recommender
from test_serving_reload import serving

from h2rec_tf.cli.main import main
from serving.server.access_log import AccessLog
from serving.server.model_manager import ModelManager
from serving.server.run import log_to_stderr


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `h2rec` in this process: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["h2rec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_unknown_ids_are_named_and_a_popular_list_is_called_one(server, command):
    code, out, err = command("recommend", "--target", server.target, "--history", "i1,nobody", "--exclude", "none")
    assert code == 0 and err == "unknown item ids, passed over: nobody, none\n"
    assert "(unknown)" in out and "most popular" not in out
    code, out, err = command("recommend", "--target", server.target, "--history", "who,\x1b[2J")
    assert code == 0 and err == "unknown item ids, passed over: \\x1b[2J, who\n"
    assert "none of these items is known" in out and "most popular items" in out and "\x1b" not in out
    code, out, err = command("recommend", "--target", server.target, "--history", "i1,who", "--json")
    assert [one["known"] for one in json.loads(out)["history"]] == [True, False]
    code, out, err = command("recommend", "--target", server.target, "--history", "i1")
    assert (code, err) == (0, "") and "unknown" not in out


def test_a_client_waits_for_a_server_that_is_starting(model_dir, command, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = threading.Event()
    import serving.cli.options as options

    echo = options.click.echo

    def heard(text="", **settings):
        if "waiting for a server" in str(text):
            told.set()
        echo(text, **settings)

    monkeypatch.setattr(options.click, "echo", heard)

    def start():
        assert told.wait(60)
        running.append(_server(model_dir, port))
        running[0].start()

    running = []
    starting = threading.Thread(target=start)
    starting.start()
    try:
        code, out, err = command("recommend", "--target", f"127.0.0.1:{port}", "--history", "i1", "--wait", "60")
    finally:
        starting.join()
        running[0].stop()
    assert code == 0 and f"waiting for a server at 127.0.0.1:{port}, up to 60 s (--wait)" in err
    assert "Title" in out


def _server(model_dir, port):
    from serving.server.model_server import ModelServer
    from serving.server.options import ServerOptions

    return ModelServer(ServerOptions(model_dir=str(model_dir), port=port, poll_seconds=0))


def test_where_none_comes_the_reason_is_told_after_the_wait(command):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, _, err = command("recommend", "--target", f"127.0.0.1:{port}", "--history", "i1", "--wait", "0.1")
    assert code == 2 and "no model server answers" in err.splitlines()[-1]


@pytest.mark.parametrize("option", ["--port", "--rest-port", "--health-port"])
@pytest.mark.parametrize("kind", ["serve", "retrieval"])
def test_a_taken_port_is_found_before_anything_is_loaded(option, kind, model_dir, tmp_path, command, monkeypatch):
    monkeypatch.setattr(ModelManager, "start", lambda self: pytest.fail("loaded"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        start = ["serve", "--model-dir", model_dir]
        if kind == "retrieval":
            start = ["retrieval", "serve", "--data-dir", tmp_path / "items", "--dimensions", 2]
        rest = [] if option == "--port" else ["--port", "0"]
        code, out, err = command(*start, *rest, option, port)
    assert code == 2 and not out and err.startswith(f"error: {option} {port}: cannot listen on 127.0.0.1:{port}")
    assert err.count("\n") == 1 and not (tmp_path / "items").exists()


def test_titles_and_names_cannot_write_to_the_terminal_or_the_log(tmp_path, command, capsys):
    model = toy_recommender.ToyRecommender
    original = model.__init__

    def hostile(self, version):
        original(self, version)
        import tensorflow as tf

        self.titles = tf.constant([""] + ["\x1b[2J\x1b]0;owned\x07 two\nlines\u202e"] * toy_recommender.ITEMS)

    model.__init__ = hostile
    try:
        toy_recommender.save(tmp_path, 1)
    finally:
        model.__init__ = original
    with serving(tmp_path) as server:
        for more in ([], ["--json"]):
            code, out, _ = command("recommend", "--target", server.target, "--history", "i1", "--k", "2", *more)
            assert code == 0 and all(line.isprintable() for line in out.splitlines())
            assert len(out.splitlines()) == (1 if more else 5)
    log = tmp_path / "log"
    access = AccessLog(str(log))
    access.write({"error": "a\x1b[2J\x9b\u2028b"})
    access.close()
    (line,) = log.read_text().splitlines()
    assert line.isprintable() and json.loads(line)["error"] == "a\x1b[2J\x9b\u2028b"
    logger = logging.getLogger("h2rec.serving")
    before, propagate = logger.handlers[:], logger.propagate
    try:
        log_to_stderr()
        logger.info("model %s is no longer served", "a\x1b[2J\nfake line")
    finally:
        logger.handlers[:], logger.propagate = before, propagate
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable() and line.endswith("model a\\x1b[2J\\nfake line is no longer served")
