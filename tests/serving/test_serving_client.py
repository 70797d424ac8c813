"""The client and the two commands against a running server."""

import asyncio
import dataclasses
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import toy_recommender
from click.testing import CliRunner
from tensorflow_serving.apis import get_model_status_pb2

from h2rec_tf import names
from h2rec_tf.errors import InputError
from serving.cli.options import comma_separated
from serving.cli.recommend import recommend as recommend_command
from serving.cli.serve import serve as serve_command
from serving.client import AsyncClient, Client, Connection, ServerError, TensorSpec
from serving.server.model_server import ModelServer
from serving.server.options import ServerOptions


@pytest.fixture
def client(server):
    with Client(server.target) as opened:
        yield opened


def test_recommend_returns_typed_items_in_order(client):
    first, second = client.recommend([["i1", "i2"], ["i7"]], k=3)
    for answer, history in ((first, ["i1", "i2"]), (second, ["i7"])):
        want = toy_recommender.expected(1, history, 3)
        assert [item.item_id for item in answer] == [item for item, _ in want]
        assert [item.title for item in answer] == [f"Title {item[1:]} of v1" for item, _ in want]
        assert [item.score for item in answer] == pytest.approx([score for _, score in want], rel=1e-5)


def test_fewer_than_k_items_left(client):
    history = [f"i{n}" for n in range(1, toy_recommender.ITEMS)]
    (answer,) = client.recommend([history], k=5)
    assert [item.item_id for item in answer] == [f"i{toy_recommender.ITEMS}"]


def test_new_user_unknown_items_and_no_users(client):
    empty, unknown = client.recommend([[], ["nobody", "caf\u00e9", "\udcff"]], k=4)
    assert len(empty) == len(unknown) == 4
    assert client.recommend([]) == []


def test_titles(client):
    assert client.titles(["i3", "nobody", "i1"]) == ["Title 3 of v1", "", "Title 1 of v1"]
    assert client.titles([]) == []


def test_metadata_and_status_are_typed(client):
    metadata = client.metadata()
    assert (metadata.name, metadata.version) == ("h2rec", 1)
    default = metadata.signatures[names.SERVING_DEFAULT]
    lists = dict.fromkeys((names.HISTORY, names.EXCLUDE, names.ALLOW_CATEGORIES), TensorSpec("string", (None, None)))
    assert default.inputs == {**lists, names.K: TensorSpec("int32", ())}
    assert set(default.outputs) == {names.ITEM_IDS, names.TITLES, names.SCORES}
    assert default.optional == {names.K, names.EXCLUDE, names.ALLOW_CATEGORIES}
    (status,) = client.status()
    assert (status.version, status.state, status.error) == (1, "AVAILABLE", "")


def test_a_refusal_is_one_line_with_the_reason(client, server):
    with pytest.raises(InputError, match=r"refused the request \(INVALID_ARGUMENT\): input `k` must be at least 1"):
        client.recommend([["i1"]], k=0)
    with (
        Client(server.target, model_name="other") as other,
        pytest.raises(InputError, match=r"\(NOT_FOUND\): Servable not found for request: Latest\(other\)"),
    ):
        other.recommend([["i1"]])


def test_no_server_at_the_address():
    with Client("127.0.0.1:1") as client, pytest.raises(InputError, match="no model server answers at"):
        client.metadata()


def test_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(target, timeout=0.2) as client, pytest.raises(InputError, match="did not answer within"):
            client.status()


def test_lists_longer_than_a_request_go_out_in_several(server):
    histories = [[f"i{1 + number % 12}"] for number in range(50)]
    with Client(server.target, batch_size=16) as small:
        answers = small.recommend(histories, k=1)
    # The server refuses more than 16 rows in one request.
    assert [row[0].item_id for row in answers] == [toy_recommender.expected(1, h, 1)[0][0] for h in histories]


def test_any_signature_on_arrays(client):
    outputs = client.predict(names.ITEM_EMBEDDING, {names.ITEM_IDS: np.array([b"i1", b"i2"], object)})
    assert outputs[names.EMBEDDING].shape == (2, toy_recommender.SIZE)


def test_the_asynchronous_client_is_the_same(server):
    async def ask():
        async with AsyncClient(server.target, batch_size=16) as client:
            calls = [client.recommend([["i1", "i2"], ["i7"]], k=3), client.recommend([["i5"]] * 40, k=1)]
            answers = await asyncio.gather(*calls)
            refusal = await asyncio.gather(client.recommend([["i1"]], k=0), return_exceptions=True)
            return answers, refusal[0], await client.titles(["i3"]), await client.metadata(), await client.status()

    (two, many), refusal, titles, metadata, status = asyncio.run(ask())
    with Client(server.target) as client:
        assert two == client.recommend([["i1", "i2"], ["i7"]], k=3)
        assert (metadata, status) == (client.metadata(), client.status())
    assert len(many) == 40 and titles == ["Title 3 of v1"]
    assert isinstance(refusal, ServerError) and refusal.code is grpc.StatusCode.INVALID_ARGUMENT


class Flaky(grpc.GenericRpcHandler):
    """Is unavailable for the first calls, then answers with a fixed message."""

    def __init__(self, failures):
        self.failures = failures
        self.calls = 0

    def service(self, details):
        def answer(request, context):
            self.calls += 1
            if self.calls <= self.failures:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            return get_model_status_pb2.GetModelStatusResponse(
                model_version_status=[{"version": 3, "state": "AVAILABLE"}]
            ).SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.mark.parametrize(("failures", "attempts", "calls"), [(2, 4, 3), (9, 3, 3), (1, 1, 1)])
def test_an_unavailable_server_is_asked_again_a_bounded_number_of_times(failures, attempts, calls):
    flaky = Flaky(failures)
    fake = grpc.server(futures.ThreadPoolExecutor(1), handlers=[flaky])
    port = fake.add_insecure_port("127.0.0.1:0")
    fake.start()
    try:
        with Client(Connection(f"127.0.0.1:{port}", attempts=attempts), timeout=20) as client:
            if failures < attempts:
                assert client.status()[0].version == 3
            else:
                with pytest.raises(ServerError) as raised:
                    client.status()
                assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    finally:
        fake.stop(0)
    assert flaky.calls == calls


def test_a_client_outlives_a_restart_of_its_server(model_dir):
    options = ServerOptions(model_dir=str(model_dir), port=0, poll_seconds=0)
    with ModelServer(options) as server:
        client = Client(server.target, timeout=60)
        assert client.status()[0].version == 1
    with ModelServer(dataclasses.replace(options, port=server.port)):
        assert client.status()[0].version == 1
    client.close()


def invoke(*arguments):
    return CliRunner().invoke(recommend_command, [str(argument) for argument in arguments])


def test_recommend_command_prints_titles_of_history_and_answer(server):
    result = invoke("--target", server.target, "--history", "i1, i2,nobody", "--k", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "history (oldest first)"
    assert lines[1].split() == ["i1", "Title", "1", "of", "v1"] and lines[3].split() == ["nobody", "(unknown)"]
    assert lines[4].split() == ["rank", "score", "item", "title"]
    want = toy_recommender.expected(1, ["i1", "i2"], 3)
    assert [line.split()[2] for line in lines[5:]] == [item for item, _ in want]


def test_recommend_command_in_json_for_several_users(server):
    result = invoke("--target", server.target, "--history", "i4", "--history", "", "--k", 2, "--json")
    assert result.exit_code == 0, result.output
    first, second = map(json.loads, result.output.splitlines())
    assert first["history"] == [{"item_id": "i4", "title": "Title 4 of v1", "known": True}] and second["history"] == []
    assert [item["rank"] for item in first["recommendations"]] == [1, 2]
    assert first["recommendations"][0]["item_id"] == toy_recommender.expected(1, ["i4"], 1)[0][0]


def test_recommend_command_with_filters(server):
    result = invoke(
        "--target", server.target, "--history", "i4", "--exclude", "i5,i7", "--allow-categories", "odd", "--json"
    )
    assert result.exit_code == 0, result.output
    hidden = ("i5", "i7", *(f"i{n}" for n in range(2, 13, 2)))
    want = [item for item, _ in toy_recommender.expected(1, ["i4"], 10, hidden)]
    assert [item["item_id"] for item in json.loads(result.output)["recommendations"]] == want


def test_item_ids_with_commas_are_quoted():
    assert comma_separated('a, "b,c" ,d,,') == ["a", "b,c", "d"]
    assert comma_separated("") == []


def test_commands_fail_with_the_error_a_user_can_mend(tmp_path):
    result = invoke("--target", "127.0.0.1:1", "--history", "a", "--wait", 0)
    assert isinstance(result.exception, InputError)
    result = CliRunner().invoke(serve_command, ["--model-dir", str(tmp_path / "nowhere")])
    assert isinstance(result.exception, InputError) and "--model-dir" in str(result.exception)
    assert invoke("--history", "a", "--k", 0).exit_code == 2


def first_line(process: subprocess.Popen, seconds: float) -> str:
    """The first line of a process's stdout, or fails when none comes in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            if selector.select(timeout=1):
                return process.stdout.readline()
    process.kill()
    raise AssertionError(f"no line within {seconds} s; stderr: {process.stderr.read()}")


def serve_process(*arguments, **variables) -> subprocess.Popen:
    command = [sys.executable, "-c", "from h2rec_tf.cli.main import main; main()", "serve", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_serve_command_says_it_is_ready_and_ends_cleanly_on_sigterm(model_dir):
    process = serve_process("--model-dir", str(model_dir), "--port", "0", "--model-name", "toy")
    try:
        words = first_line(process, seconds=120).split()
        assert words[:6] == ["serving", "model", "toy", "version", "1", "on"]
        with Client(words[6], model_name="toy") as client:
            assert len(client.recommend([["i1"]], k=2)[0]) == 2
        assert process.stdout.readline().startswith("REST on http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert output == "" and "Traceback" not in errors and "WARNING" not in errors


def test_serve_command_takes_folder_and_name_from_the_variables_of_tensorflow_servings_image(model_dir, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "toy").symlink_to(model_dir)
    process = serve_process("--port", "0", "--no-rest", MODEL_BASE_PATH=str(base), MODEL_NAME="toy")
    try:
        assert first_line(process, seconds=120).startswith("serving model toy version 1 on")
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"MODEL_BASE_PATH": "/no/models/", "MODEL_NAME": "toy"}, "/no/models/toy"),
        ({"MODEL_BASE_PATH": "/no/models"}, "/no/models/h2rec"),
        ({"MODEL_NAME": "toy"}, "give one of --model-dir and --model-config-file"),
    ],
)
def test_serve_command_names_the_folder_that_the_variables_make(variables, named):
    result = CliRunner(env={"MODEL_BASE_PATH": None, "MODEL_NAME": None, **variables}).invoke(serve_command)
    assert named in f"{result.exception} {result.output}" and result.exit_code


def test_options_win_over_the_variables(tmp_path):
    environment = {"MODEL_BASE_PATH": "/no/models", "MODEL_NAME": "toy"}
    folder = str(tmp_path / "nowhere")
    result = CliRunner(env=environment).invoke(serve_command, ["--model-dir", folder])
    assert folder in str(result.exception)
    result = CliRunner(env=environment).invoke(serve_command, ["--model-name", "mine"])
    assert "/no/models/mine" in str(result.exception)


def test_serve_command_refuses_a_folder_without_versions_with_exit_code_2(tmp_path):
    process = serve_process("--model-dir", str(tmp_path), "--port", "0")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and output == ""
    (line,) = [line for line in errors.splitlines() if line.startswith("error:")]
    assert "holds no version" in line and "Traceback" not in errors
