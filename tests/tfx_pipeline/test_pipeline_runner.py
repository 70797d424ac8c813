"""The local runner's parts: lock, log, content fingerprint, errors and summary."""

from __future__ import annotations

import errno
import logging
import os
import pathlib
import signal
import subprocess
import sys

import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2

from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from tfx_pipeline.runners.fingerprint import fingerprint
from tfx_pipeline.runners.local import ComponentError, _named_errors
from tfx_pipeline.runners.local_run import run_local
from tfx_pipeline.runners.run_lock import run_lock
from tfx_pipeline.runners.run_log import run_log
from tfx_pipeline.runners.summary import RunSummary


def test_the_second_run_on_a_root_is_refused(tmp_path: pathlib.Path) -> None:
    with run_lock(str(tmp_path)), pytest.raises(InputError, match=f"process {os.getpid()}"), run_lock(str(tmp_path)):
        pass
    with run_lock(str(tmp_path)):
        pass


def test_the_lock_of_a_killed_run_is_free(tmp_path: pathlib.Path) -> None:
    code = f"""
import os, signal
from tfx_pipeline.runners.run_lock import run_lock
with run_lock({str(tmp_path)!r}):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with run_lock(str(tmp_path)):
        pass


def test_fingerprint_is_of_content_and_place(tmp_path: pathlib.Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    pathlib.Path(one).write_text("abc")
    pathlib.Path(other).write_text("abd")
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one, other) != fingerprint(other, one)
    assert fingerprint(one, "") == fingerprint(one, None)
    before = fingerprint(one)
    os.utime(one, (1, 1))
    assert fingerprint(one) == before
    with pytest.raises(InputError, match="nothing"):
        fingerprint(str(tmp_path / "nothing"))


def test_a_remote_root_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"--root gs://bucket/run: .*name a local directory"):
        run_local(files=DataFiles("clicks.csv", "items.csv"), config=Config(), root="gs://bucket/run")
    assert not list(tmp_path.iterdir())


def test_libraries_talk_to_the_log_only(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "logs" / "run.log"
    absl = logging.getLogger("absl")
    handlers, level = absl.handlers[:], absl.level
    with run_log(str(path)):
        absl.info("a component runs")
        os.write(2, b"from C++\n")
        print("for the user", file=sys.stderr)
    os.write(2, b"after\n")
    text = path.read_text()
    assert "a component runs" in text
    assert "from C++" in text
    assert "for the user" not in text
    assert (absl.handlers, absl.level) == (handlers, level)
    assert "after" in capfd.readouterr().err


def test_errors_name_the_component_and_the_root_cause() -> None:
    def bad_input() -> None:
        try:
            raise InputError("events.csv:3: no")
        except InputError as error:
            raise RuntimeError("wrapped by a library") from error

    def bug() -> None:
        raise ValueError("in user code:\n\n    File x\n\n    shapes differ\n")

    with pytest.raises(InputError, match=r"^Transform: events\.csv:3: no$"):
        _named_errors("Transform", bad_input)
    with pytest.raises(ComponentError, match=r"^Trainer failed: ValueError: shapes differ$") as caught:
        _named_errors("Trainer", bug)
    assert caught.value.exit_code == 1
    with pytest.raises(ComponentError, match="Pusher did not run"):
        _named_errors("Pusher", lambda: None)


def test_a_full_disk_is_told_in_one_line() -> None:
    def full() -> None:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/root/artifacts/codes.npy")
        except OSError as error:
            # As Beam hands on what a worker raised.
            raise RuntimeError(
                f"Traceback (most recent call last):\n  ...\nOSError: {error} [while running x]"
            ) from None

    expected = r"^StatisticsGen: '/root/artifacts/codes\.npy': No space left on device; free some space .* run again$"
    with pytest.raises(InputError, match=expected):
        _named_errors("StatisticsGen", full)


def test_a_damaged_file_of_an_input_is_found(tmp_path: pathlib.Path) -> None:
    good, bad = (tmp_path / name / "Split-train" / "data.gz" for name in ("good", "bad"))
    for path in (good, bad):
        path.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            writer.write(os.urandom(5000))
    bad.write_bytes(bad.read_bytes()[:-500])

    def damaged() -> None:
        raise RuntimeError("ValueError: Not a valid TFRecord. Fewer than 12 bytes: ... [while running 'TFXIORead']")

    upstream = [{"examples": [metadata_store_pb2.Artifact(uri=str(path.parents[1]))]} for path in (good, bad)]
    with pytest.raises(InputError, match=rf"^Transform: {bad}: damaged .*delete {bad.parents[1]} and run again"):
        _named_errors("Transform", damaged, upstream)
    with pytest.raises(ComponentError, match="Not a valid TFRecord"):
        _named_errors("Transform", damaged, upstream[:1])


def test_table_has_slices_and_metrics_in_order() -> None:
    values = {"users": 4.0, "hr_10": 0.5, "hr_5": 0.25, "mrr": 0.125}
    names = ["tail", "history 10-19", "overall", "history 1-4", "head"]
    lines = RunSummary(dict.fromkeys(names, values), True, [], [], "", "").table().splitlines()
    assert lines[0].split() == ["slice", "users", "hr@5", "hr@10", "mrr"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["overall", "head", "tail", "history 1-4", "history 10-19"]
    assert lines[1].split() == ["overall", "4", "0.2500", "0.5000", "0.1250"]
