"""Several models and versions: configuration files, labels, reload, warm-up records."""

import shutil

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc, prediction_log_pb2
from test_serving_predict import request_for
from test_serving_reload import push, push_corrupt

from h2rec_tf.errors import InputError
from serving.client import Client, ServerError
from serving.server import config_files
from serving.server.model_server import ModelServer
from serving.server.options import METRICS_PATH, Batching, ServerOptions
from serving.server.policy import VersionPolicy
from serving.server.warmup import RECORDS

DEADLINE = 60.0


@pytest.fixture
def both(saved_versions, tmp_path):
    """A folder of this test's own with versions 1 and 2."""
    folder = tmp_path / "both"
    shutil.copytree(saved_versions, folder)
    return folder


def models_text(*entries):
    configs = " ".join(f"config {{ {entry} }}" for entry in entries)
    return f"model_config_list {{ {configs} }}"


def config_file(tmp_path, *entries):
    path = tmp_path / "models.config"
    path.write_text(models_text(*entries))
    return path


def serving(path, **options):
    return ModelServer(ServerOptions(model_config_file=str(path), port=0, poll_seconds=0, allow_reload=True, **options))


def version_in_use(server, **model):
    with Client(server.target, timeout=DEADLINE, **model) as client:
        return int(client.recommend([["i1"]], k=1)[0][0].title.rpartition("v")[2])


def test_versions_and_labels_of_a_configuration_file(both, tmp_path):
    path = config_file(
        tmp_path,
        f'name: "all" base_path: "{both}" model_version_policy {{ all {{}} }} '
        'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }',
        f'name: "old" base_path: "{both}" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: 1 } }",
        f'name: "newest" base_path: "{both}"',
        f'name: "two" base_path: "{both}" model_version_policy {{ latest {{ num_versions: 2 }} }}',
    )
    with serving(path) as server:
        assert server.models.served() == {"all": [2, 1], "old": [1], "newest": [2], "two": [2, 1]}
        assert version_in_use(server, model_name="all") == 2
        assert version_in_use(server, model_name="all", version=1) == 1
        assert version_in_use(server, model_name="all", label="stable") == 1
        assert version_in_use(server, model_name="all", label="canary") == 2
        assert version_in_use(server, model_name="old") == 1
        with pytest.raises(ServerError, match=r"Specific\(newest, 1\)"):
            version_in_use(server, model_name="newest", version=1)
        with pytest.raises(ServerError, match="label: stable"):
            version_in_use(server, model_name="old", label="stable")


def reload(server, *entries):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(models_text(*entries), request.config)
    with grpc.insecure_channel(server.target) as channel:
        return model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=DEADLINE)


def test_reload_adds_changes_and_removes_models_or_does_nothing(both, tmp_path):
    path = config_file(tmp_path, f'name: "a" base_path: "{both}"')
    with serving(path) as server:
        keep = f'name: "a" base_path: "{both}" model_version_policy {{ all {{}} }}'
        answer = reload(server, keep, f'name: "b" base_path: "{both}"')
        assert answer.status.error_code == 0
        assert server.models.served() == {"a": [2, 1], "b": [2]}

        for change, words in [
            (f'name: "c" base_path: "{both}/nowhere"', "does not exist"),
            (f'name: "c" base_path: "{both}" version_labels {{ key: "x" value: 9 }}', "label x names version 9"),
        ]:
            with pytest.raises(grpc.RpcError) as raised:
                reload(server, f'name: "a" base_path: "{both}"', change)
            assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert "nothing was changed" in raised.value.details() and words in raised.value.details()
        assert server.models.served() == {"a": [2, 1], "b": [2]}

        reload(server, f'name: "b" base_path: "{both}"')
        assert server.models.served() == {"b": [2]}
        with pytest.raises(ServerError, match="NOT_FOUND"):
            version_in_use(server, model_name="a")
        page = server._metrics.page().decode()
        assert 'h2rec_config_reloads_total{outcome="failed"} 2.0' in page
        assert 'h2rec_config_reloads_total{outcome="changed"} 2.0' in page


def test_a_changed_configuration_file_takes_effect(both, tmp_path):
    path = config_file(tmp_path, f'name: "a" base_path: "{both}"')
    options = ServerOptions(model_config_file=str(path), port=0, poll_seconds=0.02)
    with ModelServer(options) as server, Client(server.target, model_name="b", timeout=DEADLINE) as client:
        config_file(tmp_path, f'name: "b" base_path: "{both}"')
        for _ in range(10_000):
            try:
                assert client.status()[0].version == 2
                break
            except ServerError:
                continue
        else:
            pytest.fail("the new configuration did not take effect")


def test_a_broken_version_does_not_push_out_one_of_the_latest_two(both):
    push_corrupt(3, both)
    path = config_file(both, f'name: "two" base_path: "{both}" model_version_policy {{ latest {{ num_versions: 2 }} }}')
    with serving(path) as server:
        assert server.models.served() == {"two": [2, 1]}
        with Client(server.target, model_name="two") as client:
            assert [(s.version, s.state, bool(s.error)) for s in client.status()] == [
                (3, "END", True),
                (2, "AVAILABLE", False),
                (1, "AVAILABLE", False),
            ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no model_config_list"),
        ("model_config_list { config { name: 'a' } }", "no name or no base_path"),
        ("model_config_list { config { nam: 'a' } }", "line 1:30"),
        (models_text("name: 'a' base_path: '/x'", "name: 'a' base_path: '/y'"), "configured twice"),
        (models_text("name: 'a/b' base_path: '/x'"), "no slash"),
        (models_text("name: 'a' base_path: '/x' model_platform: 'torch'"), "model_platform torch"),
        (models_text("name: 'a' base_path: '/x' model_version_policy { specific {} }"), "names no versions"),
    ],
)
def test_bad_model_configurations_are_one_clear_line(tmp_path, text, words):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as raised:
        config_files.read_models(str(path))
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_batching_and_monitoring_files(tmp_path):
    path = tmp_path / "file"
    path.write_text(
        "max_batch_size { value: 16 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 7 }\n"
        "num_batch_threads { value: 3 } pad_variable_length_inputs: true allowed_batch_sizes: 16"
    )
    want = Batching(max_rows=16, timeout_seconds=0.002, max_queued=7, parallel=3, any_model=True)
    assert config_files.read_batching(str(path), Batching()) == want
    path.write_text("max_batch_size { value: 0 }")
    with pytest.raises(InputError, match="max_batch_size must be at least 1, got 0"):
        config_files.read_batching(str(path), Batching())
    path.write_text('prometheus_config { enable: true, path: "/my/metrics" }')
    assert config_files.read_monitoring(str(path)) == "/my/metrics"
    path.write_text("prometheus_config { enable: true }")
    assert config_files.read_monitoring(str(path)) == METRICS_PATH
    path.write_text("")
    assert config_files.read_monitoring(str(path)) == ""
    with pytest.raises(InputError, match="cannot be read"):
        config_files.read_monitoring(str(tmp_path / "nowhere"))


def test_policies_pick_candidates():
    assert VersionPolicy().candidates([1, 3, 2]) == [3, 2, 1]
    assert VersionPolicy(specific=(1, 9)).candidates([1, 3]) == [1]


def record(folder, *requests):
    file = folder / RECORDS
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())


def test_recorded_requests_are_replayed_before_a_version_answers(model_dir, saved_versions, caplog):
    record(model_dir / "1", request_for([["i1"]]), request_for([["i2", "i3"]], k=2))
    options = ServerOptions(model_dir=str(model_dir), port=0, poll_seconds=0)
    with caplog.at_level("INFO", "h2rec.serving"), ModelServer(options) as server:
        assert "2 recorded requests replayed" in caplog.text
        push(saved_versions, 2, model_dir)
        record(model_dir / "2", request_for([["i1"]], signature="nothing like it"))
        server.models.refresh()
        (bad, good) = server.models.all_statuses()["h2rec"].items()
        assert (bad[0], good[0]) in {(1, 2), (2, 1)}
        broken = server.models.all_statuses()["h2rec"][2]
        assert "record 0 is refused" in broken.error and version_in_use(server) == 1
