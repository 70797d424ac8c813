"""Versions that come, go and break while a server answers."""

import pathlib
import shutil
import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from h2rec_tf.errors import InputError
from serving.client import Client
from serving.server.errors import RequestError
from serving.server.model_manager import ModelManager, State, VersionStatus
from serving.server.model_server import ModelServer
from serving.server.options import Security, ServerOptions

DEADLINE = 60.0


def push(saved: pathlib.Path, version: int, model_dir: pathlib.Path) -> None:
    """Copies a version so that it appears complete, as an atomic push does."""
    shutil.copytree(saved / str(version), model_dir / "incoming")
    (model_dir / "incoming").rename(model_dir / str(version))


def push_corrupt(version: int, model_dir: pathlib.Path) -> None:
    (model_dir / str(version)).mkdir()
    (model_dir / str(version) / "saved_model.pb").write_bytes(b"not a SavedModel \xff\xff")


def serving(model_dir: pathlib.Path, **options) -> ModelServer:
    return ModelServer(ServerOptions(model_dir=str(model_dir), port=0, **options))


def version_in_use(client: Client) -> int:
    return int(client.recommend([["i1"]], k=1)[0][0].title.rpartition("v")[2])


def test_hot_reload_fails_no_request(saved_versions, model_dir):
    seen: list[int] = []
    errors: list[Exception] = []
    answered = threading.Semaphore(0)
    finish = threading.Event()

    def ask(client: Client) -> None:
        # Bounded by a count as well: the test must end even if the new version never comes.
        for _ in range(20_000):
            if finish.is_set():
                return
            try:
                seen.append(version_in_use(client))
            except InputError as error:
                errors.append(error)
            answered.release()

    with serving(model_dir, poll_seconds=0.05) as server, Client(server.target, timeout=DEADLINE) as client:
        askers = [threading.Thread(target=ask, args=(client,)) for _ in range(2)]
        for asker in askers:
            asker.start()
        assert answered.acquire(timeout=DEADLINE)
        push(saved_versions, 2, model_dir)
        end = time.monotonic() + DEADLINE
        while 2 not in seen and time.monotonic() < end:
            answered.acquire(timeout=1)
        finish.set()
        for asker in askers:
            asker.join()
        assert not errors
        assert set(seen) == {1, 2}
        assert [(s.version, s.state, s.error) for s in client.status()] == [(2, "AVAILABLE", ""), (1, "END", "")]


def test_a_corrupt_new_version_leaves_the_old_one_in_place_and_is_reported(model_dir, saved_versions):
    with serving(model_dir, poll_seconds=0) as server, Client(server.target) as client:
        push_corrupt(2, model_dir)
        server.models.refresh()
        assert version_in_use(client) == 1
        broken, good = client.status()
        assert (broken.version, broken.state) == (2, "END") and "not a readable SavedModel" in broken.error
        assert (good.version, good.state, good.error) == (1, "AVAILABLE", "")

        shutil.rmtree(model_dir / "2")
        push(saved_versions, 2, model_dir)
        server.models.refresh()
        assert version_in_use(client) == 2


def test_a_broken_version_is_not_tried_again_until_its_files_change(model_dir):
    tried = []

    def load(version, path):
        tried.append(version)
        raise OSError(f"cannot read {path}")

    manager = ModelManager(name="m", model_dir=str(model_dir), poll_seconds=0, load=load)
    manager.refresh()
    manager.refresh()
    assert tried == [1]
    (model_dir / "1" / "more").write_text("x")
    manager.refresh()
    assert tried == [1, 1]
    manager.stop()


def test_half_written_variables_are_refused_then_taken_when_complete(model_dir, saved_versions):
    with serving(model_dir, poll_seconds=0) as server, Client(server.target) as client:
        shutil.copytree(saved_versions / "2", model_dir / "2", ignore=shutil.ignore_patterns("variables.data*"))
        server.models.refresh()
        assert version_in_use(client) == 1 and client.status()[0].error
        shutil.copytree(saved_versions / "2", model_dir / "2", dirs_exist_ok=True)
        server.models.refresh()
        assert version_in_use(client) == 2


def test_removing_the_newest_version_rolls_back_and_removing_all_keeps_it(model_dir, saved_versions):
    push(saved_versions, 2, model_dir)
    with serving(model_dir, poll_seconds=0) as server, Client(server.target) as client:
        assert version_in_use(client) == 2
        shutil.rmtree(model_dir / "2")
        server.models.refresh()
        assert version_in_use(client) == 1
        shutil.rmtree(model_dir / "1")
        server.models.refresh()
        assert version_in_use(client) == 1


class FakeServable:
    def __init__(self, version, path):
        self.version = version
        self.closed = False

    def close(self):
        self.closed = True


def test_the_old_version_drains_before_it_is_closed(tmp_path):
    (tmp_path / "1").mkdir()
    manager = ModelManager(name="m", model_dir=str(tmp_path), poll_seconds=0, load=FakeServable)
    manager.start()
    with manager.lease() as old:
        (tmp_path / "2").mkdir()
        manager.refresh()
        with manager.lease() as new:
            assert new.version == 2
        assert not old.closed
        assert manager.statuses() == {1: VersionStatus(State.UNLOADING), 2: VersionStatus(State.AVAILABLE)}
        with pytest.raises(RequestError, match=r"Specific\(m, 1\)"), manager.lease(1):
            pass
    assert old.closed and manager.statuses()[1] == VersionStatus(State.END)
    manager.stop()
    assert new.closed


@pytest.mark.parametrize("raised", [RuntimeError("boom\nmore"), KeyError("x"), MemoryError("much"), AssertionError()])
def test_whatever_a_loader_raises_is_one_line_in_the_status(tmp_path, raised):
    (tmp_path / "1").mkdir()
    manager = ModelManager(name="m", model_dir=str(tmp_path), poll_seconds=0, load=FakeServable)
    manager.start()

    def load(version, path):
        raise raised

    manager._load = load
    (tmp_path / "2").mkdir()
    manager.refresh()
    status = manager.statuses()[2]
    assert status.state is State.END and status.error and "\n" not in status.error
    with manager.lease() as servable:
        assert servable.version == 1
    manager.stop()


def test_start_takes_the_newest_version_that_loads(model_dir):
    push_corrupt(9, model_dir)
    with serving(model_dir) as server:
        assert server.models.served() == {"h2rec": [1]}


def test_start_without_anything_to_serve_is_one_clear_error(tmp_path, model_dir):
    with pytest.raises(InputError, match="does not exist"):
        serving(tmp_path / "nowhere").start()
    (tmp_path / "empty" / "notes").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no version"):
        serving(tmp_path / "empty").start()
    with pytest.raises(InputError, match="is itself a SavedModel"):
        serving(model_dir / "1").start()
    (tmp_path / "corrupt").mkdir()
    push_corrupt(3, tmp_path / "corrupt")
    with pytest.raises(InputError, match=r"version 3 cannot be loaded: .*not a readable SavedModel"):
        serving(tmp_path / "corrupt").start()
    (tmp_path / "hollow" / "4").mkdir(parents=True)
    with pytest.raises(InputError, match=r"version 4 cannot be loaded: .*holds no saved_model\.pb"):
        serving(tmp_path / "hollow").start()


def test_a_taken_port_is_one_clear_error(server, model_dir):
    with pytest.raises(InputError, match=f"cannot listen on {server.target}"):
        ModelServer(ServerOptions(model_dir=str(model_dir), port=server.port)).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_public_address_needs_protection(model_dir, host):
    with pytest.raises(InputError, match="--insecure-public"):
        serving(model_dir, host=host).start()


def test_a_public_address_is_served_when_the_user_insists(model_dir):
    with (
        serving(model_dir, host="0.0.0.0", security=Security(insecure_public=True)) as server,
        Client(f"127.0.0.1:{server.port}") as client,
    ):
        assert version_in_use(client) == 1


def test_an_unknown_host_is_one_clear_error(model_dir):
    with pytest.raises(InputError, match="unknown name or address"):
        serving(model_dir, host="no such host").start()


def status_request(name="h2rec", version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


def test_model_status_answers_and_refusals(models):
    (entry,) = models.GetModelStatus(status_request(), timeout=20).model_version_status
    assert (entry.version, entry.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert entry.status.error_code == 0
    assert len(models.GetModelStatus(status_request(version=1), timeout=20).model_version_status) == 1
    for request, words in [
        (status_request("other"), "Could not find any versions of model other"),
        (status_request(version=8), "Could not find version 8 of model h2rec"),
    ]:
        with pytest.raises(grpc.RpcError) as raised:
            models.GetModelStatus(request, timeout=20)
        assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.NOT_FOUND, words)
    with pytest.raises(grpc.RpcError) as raised:
        models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=20)
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
