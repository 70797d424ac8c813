"""The service over gRPC and REST with the toy model's towers: answers against NumPy, wrong requests refused."""

import json
import urllib.request

import grpc
import numpy as np
import pytest
import toy_recommender
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc, predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as prediction_grpc

from h2rec_tf import names
from h2rec_tf.errors import InputError
from serving import tensors
from serving.client import Client, Connection, ServerError
from serving.retrieval_service import signatures
from serving.retrieval_service.client import RetrievalClient
from serving.retrieval_service.log import LogWriteError
from serving.retrieval_service.options import RetrievalOptions, StoreOptions
from serving.retrieval_service.server import RetrievalServer
from serving.server.options import Limits, Security

WIDTH = toy_recommender.SIZE
CATALOGUE = [f"i{number}" for number in range(1, toy_recommender.ITEMS + 1)]


def options(folder, **changes) -> RetrievalOptions:
    limits = Limits(message_bytes=256 * 1024, batch_size=50, history_length=20, k=100)
    quiet = StoreOptions(snapshot_log_bytes=0, rebalance_fraction=0.0, poll_seconds=3600.0)
    return RetrievalOptions(**{"data_dir": str(folder), "port": 0, "limits": limits, "store": quiet, **changes})


@pytest.fixture(scope="module")
def service(saved_versions, tmp_path_factory):
    """A service whose catalogue is the toy model's, with that model in its process."""
    chosen = options(tmp_path_factory.mktemp("items"), model_dir=str(saved_versions / "1"), rest_port=0, search_rows=8)
    with RetrievalServer(chosen) as running, RetrievalClient(running.target) as client:
        assert client.upsert(CATALOGUE).existed == [False] * len(CATALOGUE)
        yield running


@pytest.fixture(scope="module")
def client(service):
    with RetrievalClient(service.target, timeout=60) as opened:
        yield opened


def plain(hits) -> list[tuple[str, float]]:
    return [(hit.item_id, pytest.approx(hit.score, abs=1e-4)) for hit in hits]


def test_recommends_what_the_model_itself_does(client):
    histories = [["i1", "i2"], ["i5", "unknown"], ["i3", "i4", "i12", "i7"]]
    answers = client.recommend(histories, k=5)
    for history, hits in zip(histories, answers, strict=True):
        assert plain(hits) == toy_recommender.expected(1, history, 5)
        assert all(hit.title == f"Title {hit.item_id[1:]} of v1" for hit in hits)


def test_the_model_servers_client_asks_it_unchanged(service):
    with Client(service.target) as client:
        answer = client.recommend([["i1", "i2"]], k=3)[0]
        assert [(item.item_id, pytest.approx(item.score, abs=1e-4)) for item in answer] == toy_recommender.expected(
            1, ["i1", "i2"], 3
        )
        assert client.titles(["i3", "nothing"]) == ["Title 3 of v1", ""]
        assert {names.SERVING_DEFAULT, signatures.UPSERT} <= set(client.metadata().signatures)
        assert [(entry.version, entry.state) for entry in client.status()] == [(1, "AVAILABLE")]


def test_excluded_items_never_come_back_and_short_lists_say_so(client):
    history, exclude = ["i1", "i2"], CATALOGUE[5:]
    expected = [entry for entry in toy_recommender.expected(1, history, 100) if entry[0] not in exclude]
    assert plain(client.recommend([history], k=10, exclude=[exclude])[0]) == expected
    # One list for all rows.
    answers = client.recommend([history, ["i3"]], k=12, exclude=[exclude])
    assert [len(hits) for hits in answers] == [3, 4]
    assert client.recommend([CATALOGUE], k=5) == [[]]


def test_what_is_written_is_found_at_once(client):
    best = np.asarray([[9.0, 0, 0, 0], [0, 9.0, 0, 0]])
    written = client.upsert(["new 1", "new 2", "new 1"], vectors=[*best, best[0]], titles=["first", "", "last"])
    assert written.existed == [False, False, False]
    hits = client.search(best, k=1)
    assert [(row[0].item_id, row[0].title) for row in hits] == [("new 1", "last"), ("new 2", "")]
    assert np.array_equal(client.item_vectors(["new 2", "none"]), [best[1], np.zeros(4)])
    similar = client.similar_items(["new 1", "none"], k=100, exclude=[["i1"]])
    assert similar[1] == [] and not {"new 1", "i1"} & {hit.item_id for hit in similar[0]}
    assert len(similar[0]) == toy_recommender.ITEMS
    deleted = client.delete(["new 1", "none", "new 2", "new 1"])
    assert deleted.existed == [True, False, True, True]
    assert deleted.sequence == written.sequence + 1 == client.status().sequence
    assert client.status().items == toy_recommender.ITEMS


def test_snapshot_rebalance_and_status(client):
    sequence, path = client.snapshot()
    assert client.rebalance() == (sequence, path)
    status = client.status()
    assert (status.sequence, status.snapshot_sequence, status.changed) == (sequence, sequence, 0)
    assert (status.width, status.kind, status.model_version) == (WIDTH, "brute", "1")


def test_rest_says_the_same(service):
    def post(body: dict) -> tuple[int, dict]:
        request = urllib.request.Request(f"{service.rest_url}/v1/models/h2rec:predict", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    code, answer = post({"inputs": {"history": [["i1", "i2"]], "k": 2}})
    assert code == 200 and answer["outputs"]["count"] == [2]
    assert answer["outputs"]["item_ids"][0] == [item for item, _ in toy_recommender.expected(1, ["i1", "i2"], 2)]
    code, answer = post({"signature_name": "delete", "inputs": {"item_ids": ["not there"]}})
    assert code == 200 and answer["outputs"]["existed"] == [False]
    code, answer = post({"signature_name": "delete", "inputs": {"item_ids": [""]}})
    assert code == 400 and "must not be empty" in answer["error"]
    with urllib.request.urlopen(f"{service.rest_url}/readyz", timeout=30) as response:
        assert response.status == 200
    with urllib.request.urlopen(f"{service.rest_url}/monitoring/prometheus/metrics", timeout=30) as response:
        assert b'h2rec_requests_total{api="grpc"' in response.read()


BAD, UNABLE = "INVALID_ARGUMENT", "FAILED_PRECONDITION"


def ones(rows: int, width: int = WIDTH) -> np.ndarray:
    return np.ones((rows, width), np.float32)


ONES = ones(1)


@pytest.mark.parametrize(
    ("signature", "inputs", "code", "message"),
    [
        ("search", {"vectors": ones(1, 3)}, BAD, r"shape \[\?, 4\], got \[1, 3\]"),
        ("search", {"vectors": ONES * np.nan}, BAD, "row 0: holds a value that is not finite"),
        ("search", {"vectors": ONES * 1e30}, BAD, "too large"),
        ("search", {"vectors": ONES.astype(np.float64)}, BAD, "must be of type float32, got float64"),
        ("search", {"vectors": ONES, "k": np.int32(0)}, BAD, "`k` must be at least 1"),
        ("search", {"vectors": ONES, "k": np.int32(101)}, BAD, "`k` must be at most 100"),
        ("search", {}, BAD, "Missing but required: {vectors}"),
        ("search", {"vectors": ones(9)}, BAD, "at most 8 are searched"),
        ("search", {"vectors": ones(3), "exclude": [["a"], ["b"]]}, BAD, "2 rows for 3"),
        ("serving_default", {"history": [["i1"] * 21]}, BAD, "at most 20 are taken"),
        ("upsert", {"item_ids": ["x"], "vectors": ones(1, 5)}, BAD, r"got \[1, 5\]"),
        ("upsert", {"item_ids": ["x", "y"], "vectors": ONES}, BAD, "`vectors` has 1 rows for 2 item ids"),
        ("upsert", {"item_ids": ["x", "y"], "vectors": np.stack([ONES[0], ONES[0] * np.inf])}, BAD, "row 1"),
        ("upsert", {"item_ids": ["", "y"], "vectors": ones(2)}, BAD, "row 0: an item id must not be empty"),
        ("upsert", {"item_ids": [b"\xff"], "vectors": ONES}, BAD, "row 0: not UTF-8"),
        ("upsert", {"item_ids": ["x" * 1025], "vectors": ONES}, BAD, "longer than 1024 bytes"),
        ("upsert", {"item_ids": ["x"], "titles": ["t" * 16385], "vectors": ONES}, BAD, "longer than 16384 bytes"),
        ("upsert", {"item_ids": ["x"]}, BAD, "item `x` is not in the model"),
        ("upsert", {"item_ids": ["x"], "texts": ["words"]}, UNABLE, "no text encoder"),
        ("upsert", {"item_ids": ["x"], "texts": ["words"], "vectors": ONES}, BAD, "give one of"),
        ("upsert", {"item_ids": ["x"], "text_vectors": ones(1, 7)}, UNABLE, "cold_item_embedding"),
        ("upsert", {"item_ids": ["x"] * 51, "vectors": ones(51)}, BAD, "at most 50 are taken"),
        ("delete", {"item_ids": ["x", ""]}, BAD, "row 1: an item id must not be empty"),
        ("delete", {"item_ids": [["x"]]}, BAD, "must be of rank 1"),
        ("nonsense", {}, UNABLE, 'key "nonsense" not found'),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_in_one_line_and_changes_nothing(service, client, signature, inputs, code, message):
    before = client.status()
    arrays = {
        alias: _object(value) if isinstance(value, list) else np.asarray(value) for alias, value in inputs.items()
    }
    with Client(service.target) as raw, pytest.raises(ServerError, match=message) as caught:
        raw.predict(signature, arrays)
    assert caught.value.code.name == code and "\n" not in str(caught.value)
    assert client.status() == before


def _object(value: list) -> np.ndarray:
    return np.asarray(_encoded(value), object)


def _encoded(item):
    if isinstance(item, list):
        return [_encoded(part) for part in item]
    return item if isinstance(item, bytes) else item.encode()


ALIASES = ["vectors", "item_ids", "history", "k", "exclude", "titles", "texts", "text_vectors"]
ARRAYS = st.one_of(
    st.lists(st.sampled_from([b"", b"fuzz", b"\xff", b"new"]), max_size=3).map(lambda items: np.asarray(items, object)),
    st.integers(-2, 5).map(np.int32).map(np.asarray),
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([0.0, 1.0, np.nan, 1e38])).map(
        lambda made: np.full(made[:2], made[2], np.float32)
    ),
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda shape: np.full(shape, b"i2", object)),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    signature=st.sampled_from(["serving_default", "search", "similar_items", "upsert", "delete", "item_titles"]),
    inputs=st.dictionaries(st.sampled_from(ALIASES), ARRAYS, max_size=4),
    noise=st.binary(max_size=12),
)
def test_any_request_gets_an_answer_or_a_code_of_its_own_fault(service, signature, inputs, noise):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "h2rec", signature
    for alias, array in inputs.items():
        tensors.encode_into(request.inputs[alias], array)
        if noise and array.dtype != object:
            request.inputs[alias].tensor_content = noise
    with grpc.insecure_channel(service.target) as channel:
        try:
            prediction_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
            assert "\n" not in error.details() and "Traceback" not in error.details()


def test_other_names_versions_and_labels_are_refused(service):
    for spec, code in (
        ({"name": "other"}, "NOT_FOUND"),
        ({"name": "h2rec", "version": {"value": 7}}, "NOT_FOUND"),
        ({"name": "h2rec", "version_label": "stable"}, "INVALID_ARGUMENT"),
    ):
        with grpc.insecure_channel(service.target) as channel, pytest.raises(grpc.RpcError) as caught:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            stub.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=spec), timeout=60)
        assert caught.value.code().name == code


def test_towers_behind_a_model_server_give_the_same(server, tmp_path):
    with (
        RetrievalServer(options(tmp_path, model_server=server.target)) as service,
        RetrievalClient(service.target) as client,
    ):
        client.upsert(CATALOGUE)
        assert plain(client.recommend([["i2", "i9"]], k=4)[0]) == toy_recommender.expected(1, ["i2", "i9"], 4)


def test_without_a_model_vectors_are_all_there_is_and_a_full_disk_fails_writes_alone(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="--dimensions"):
        RetrievalServer(options(tmp_path)).start()
    with RetrievalServer(options(tmp_path, width=2)) as service, RetrievalClient(service.target) as client:
        client.upsert(["a", "b"], vectors=[[1, 0], [0, 1]])
        with pytest.raises(ServerError, match='"serving_default" not found'):
            client.recommend([["a"]])
        with pytest.raises(ServerError, match="no model to make vectors with"):
            client.upsert(["c"], texts=["words"])

        def refuse(records):
            raise LogWriteError("the log: No space left on device; free some space", full=True)

        with monkeypatch.context() as patch:
            patch.setattr(service.engine._log, "append", refuse)
            with pytest.raises(ServerError, match="No space left") as caught:
                client.upsert(["c"], vectors=[[5, 5]])
            assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert [hit.item_id for hit in client.search([[1, 0.5]])[0]] == ["a", "b"]
        client.upsert(["c"], vectors=[[5, 5]])
        assert [hit.item_id for hit in client.search([[1, 0.5]])[0]] == ["c", "a", "b"]


def test_an_index_that_fails_is_not_searched_and_a_restart_mends_it(tmp_path, monkeypatch):
    with (
        RetrievalServer(options(tmp_path, width=2)) as service,
        RetrievalClient(Connection(service.target, attempts=1)) as client,
    ):
        client.upsert(["a"], vectors=[[1, 0]])

        def fail(mutation):
            raise RuntimeError("broken on purpose")

        monkeypatch.setattr(service.engine.index, "apply", fail)
        for call in (lambda: client.upsert(["b"], vectors=[[0, 1]]), lambda: client.search([[1, 0]])):
            with pytest.raises(ServerError, match="restart the service") as caught:
                call()
            assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert not service.ready()
    with RetrievalServer(options(tmp_path, width=2)) as service, RetrievalClient(service.target) as client:
        assert [hit.item_id for hit in client.search([[1, 2]])[0]] == ["b", "a"]


def test_a_token_is_asked_for(tmp_path):
    (tmp_path / "tokens").write_text("secret\n")
    guarded = options(tmp_path / "items", width=2, security=Security(token_file=str(tmp_path / "tokens")))
    with RetrievalServer(guarded) as service:
        with RetrievalClient(service.target) as client, pytest.raises(ServerError) as caught:
            client.status()
        assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED
        with RetrievalClient(Connection(service.target, token="secret")) as client:
            assert client.status().items == 0
    with pytest.raises(InputError, match="other machines could reach it"):
        RetrievalServer(options(tmp_path / "items", width=2, host="0.0.0.0")).start()
