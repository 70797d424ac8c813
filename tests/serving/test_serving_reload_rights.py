"""Who may change what is served, and to what: HandleReloadConfigRequest as a caller sees it."""

import os
import pathlib
import shutil

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc
from test_serving_models import models_text
from test_serving_reload import serving, status_request

from h2rec_tf.errors import InputError
from serving.client import Client, Connection
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer
from serving.server.model_manager import ModelManager
from serving.server.options import Security
from serving.server.roots import Roots

SECONDS = 60.0


def change(server, *entries, token=""):
    """Code and words of the refusal; None where it was done."""
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(models_text(*entries), request.config)
    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(server.target) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        try:
            stub.HandleReloadConfigRequest(request, timeout=SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            return error.code(), error.details()
    return None


def entry(name, path):
    return f'name: "{name}" base_path: "{path}"'


def test_nobody_may_unless_it_is_asked_for(model_dir, tmp_path):
    with serving(model_dir) as server:
        assert change(server, entry("b", model_dir))[0] is grpc.StatusCode.PERMISSION_DENIED
        assert server.models.served() == {"h2rec": [1]}
    with RetrievalServer(RetrievalOptions(data_dir=str(tmp_path / "items"), width=2, port=0)) as retrieval:
        assert change(retrieval, entry("b", model_dir))[0] is grpc.StatusCode.PERMISSION_DENIED


def test_paths_outside_of_the_roots_are_refused_alike_whether_they_exist_or_not(model_dir, tmp_path, saved_versions):
    shutil.copytree(saved_versions / "1", tmp_path / "other" / "1")
    (model_dir / "inside").mkdir()
    os.symlink(saved_versions / "1", model_dir / "inside" / "1")
    os.symlink(saved_versions, model_dir / "link")
    with serving(model_dir, allow_reload=True) as server:
        words = set()
        for path in (
            tmp_path / "other",
            tmp_path / "nowhere",
            f"{model_dir}/../other",
            f"{model_dir}-of-others",
            model_dir / "link",
            f"file://{model_dir}",
            "gs://bucket/models",
            "/proc/self/root",
        ):
            code, details = change(server, entry("b", path))
            assert code is grpc.StatusCode.FAILED_PRECONDITION and "--model-root" in details
            words.add(details)
        assert len(words) == 1
        # A version is looked at too.
        assert "--model-root" in change(server, entry("b", model_dir / "inside"))[1]
        assert server.models.served() == {"h2rec": [1]}
        assert change(server, entry("b", model_dir)) is None
        assert server.models.served() == {"b": [1]}


def test_roots_of_stores():
    roots = Roots(["gs://bucket/models"])
    roots.check("gs://bucket/models/shop")
    for path in ("gs://bucket/other", "gs://bucket/models/../other", "gs://other/models", "s3://bucket/models", "/"):
        with pytest.raises(InputError):
            roots.check(path)


def test_those_who_predict_cannot_do_it_and_those_who_do_it_cannot_predict(model_dir, tmp_path):
    (tmp_path / "tokens").write_text("predict")
    (tmp_path / "admins").write_text("admin")
    security = Security(token_file=str(tmp_path / "tokens"), admin_token_file=str(tmp_path / "admins"))
    with serving(model_dir, allow_reload=True, security=security) as server:
        for token in ("", "predict"):
            assert change(server, entry("b", model_dir), token=token)[0] is grpc.StatusCode.UNAUTHENTICATED
        assert change(server, entry("b", model_dir), token="admin") is None
        with Client(Connection(server.target, token="predict"), model_name="b") as client:
            assert client.recommend([["i1"]], k=1)
        admin = Connection(server.target, token="admin", attempts=1)
        with Client(admin, model_name="b") as client, pytest.raises(InputError, match="UNAUTHENTICATED"):
            client.recommend([["i1"]], k=1)


def test_options_that_would_let_everybody_do_it_are_refused(tmp_path):
    (tmp_path / "tokens").write_text("one\ntwo")
    (tmp_path / "admins").write_text("two")
    nowhere = tmp_path / "nowhere"
    tokens, admins = str(tmp_path / "tokens"), str(tmp_path / "admins")
    for settings, words, host in (
        ({"token_file": tokens}, "--admin-token-file", "127.0.0.1"),
        ({"insecure_public": True}, "--admin-token-file", "0.0.0.0"),
        ({"token_file": tokens, "admin_token_file": admins}, "is in --token-file too", "127.0.0.1"),
    ):
        with pytest.raises(InputError, match=words):
            serving(nowhere, allow_reload=True, host=host, security=Security(**settings)).start()


def test_a_refused_configuration_loads_nothing(model_dir, monkeypatch):
    with serving(model_dir, allow_reload=True) as server:
        started = []
        monkeypatch.setattr(ModelManager, "start", lambda self: started.append(self.name))
        (model_dir / "empty").mkdir()
        for bad, words in (
            (entry("c", model_dir / "empty"), "holds no version"),
            (entry("c", model_dir) + ' version_labels { key: "x" value: 9 }', "label x names version 9"),
        ):
            assert words in change(server, entry("a", model_dir), entry("b", model_dir), bad)[1]
        assert not started and server.models.served() == {"h2rec": [1]}


def test_a_model_that_reads_files_is_refused_unless_its_op_is_allowed(tmp_path):
    class Reading(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="file")])
        def read(self, file):
            return {"content": tf.io.read_file(file)}

    module = Reading()
    tf.saved_model.save(module, str(tmp_path / "evil" / "1"), signatures=module.read)
    with pytest.raises(InputError, match="holds the op ReadFile"):
        serving(tmp_path / "evil").start()
    with serving(tmp_path / "evil", allow_ops=("ReadFile",)) as server:
        assert server.models.served() == {"h2rec": [1]}


def test_a_status_tells_of_no_path(model_dir, caplog):
    (model_dir / "7").mkdir()
    (model_dir / "7" / "saved_model.pb").write_bytes(b"\xff not one")
    shutil.copytree(model_dir / "1", model_dir / "8", ignore=shutil.ignore_patterns("variables*"))
    with serving(model_dir) as server, grpc.insecure_channel(server.target) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        told = [one.status.error_message for one in stub.GetModelStatus(status_request()).model_version_status]
        assert all(told[:2]) and "not a readable SavedModel" in told[1]
        assert not any("/" in words or str(model_dir.name) in words for words in told)
        # The server's own log has them.
        assert str(model_dir) in caplog.text or all(
            str(pathlib.Path(model_dir)) in status.error
            for status in server.models.all_statuses()["h2rec"].values()
            if status.error
        )


@pytest.mark.parametrize("name", ["a\\033[2Jb", "a\\nb", "a\\302\\205b", "a\\342\\200\\256b"])
def test_a_name_with_control_characters_never_comes_back_raw(model_dir, name, caplog):
    with serving(model_dir, allow_reload=True) as server:
        code, details = change(server, f'name: "{name}" base_path: "{model_dir}"')
        assert code is grpc.StatusCode.INVALID_ARGUMENT and details.isprintable() and details.isascii()
        assert all(record.getMessage().isprintable() for record in caplog.records if record.name.startswith("h2rec"))
