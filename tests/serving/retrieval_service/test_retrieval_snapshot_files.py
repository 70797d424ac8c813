"""A snapshot from elsewhere is a stranger's file: nothing in it runs, and what does not fit is named."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hostile_files import write_running_parquet
from pyarrow import parquet

from h2rec_tf.errors import InputError
from serving.retrieval_service.restore import restore
from serving.retrieval_service.snapshot import write_snapshot


@pytest.fixture
def snapshot(tmp_path):
    vectors = np.arange(4, dtype=np.float32).reshape(2, 2)
    return write_snapshot(
        tmp_path / "snapshots",
        sequence=1,
        width=2,
        model_version="1",
        item_ids=["a", "b"],
        titles=["A", "B"],
        chunks=[vectors],
    )


def sign(snapshot) -> None:
    """Checksums of the files as they are now: whoever can change these can change the manifest."""
    manifest = json.loads((snapshot / "manifest.json").read_text())
    manifest["crc32"] = {name: zlib.crc32((snapshot / name).read_bytes()) for name in manifest["crc32"]}
    (snapshot / "manifest.json").write_text(json.dumps(manifest))


def test_restore_runs_nothing_that_is_in_a_snapshot(tmp_path, snapshot):
    write_running_parquet(snapshot / "items.parquet", tmp_path / "ran", {"item_id": ["a", "b"], "title": ["A", "B"]})
    sign(snapshot)
    command = [sys.executable, "-m", "h2rec_tf.cli.main", "retrieval", "restore", "--from", str(snapshot)]
    result = subprocess.run([*command, "--data-dir", str(tmp_path / "new")], capture_output=True, text=True)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "items.parquet: refused: a column's type is a Python object" in result.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "change", "pieces"),
    [
        ("vectors.npy", lambda path: np.save(path, np.zeros((2, 2))), ["float64, expected float32"]),
        ("vectors.npy", lambda path: path.write_bytes(path.read_bytes()[:-4]), ["vectors.npy: damaged"]),
        (
            "vectors.npy",
            lambda path: np.save(path, np.asarray([[{}, {}], [{}, {}]], object), allow_pickle=True),
            ["vectors.npy: damaged"],
        ),
        ("vectors.npy", lambda path: np.save(path, np.zeros((3, 2), np.float32)), ["do not belong together"]),
        (
            "items.parquet",
            lambda path: parquet.write_table(pa.table({"item_id": [1, 2]}), path),
            ["items.parquet: columns item_id int64, expected item_id and title as text"],
        ),
        ("items.parquet", lambda path: path.write_bytes(b"PAR1"), ["items.parquet: not readable as Parquet"]),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, snapshot, name, change, pieces):
    change(snapshot / name)
    sign(snapshot)
    with pytest.raises(InputError) as caught:
        restore(str(snapshot), str(tmp_path / "new"))
    assert all(piece in str(caught.value) for piece in pieces), caught.value
    assert "\n" not in str(caught.value)
