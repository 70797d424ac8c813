"""A Parquet file's schema can name a pickle as a column's type: none is run, whichever command reads the file."""

import pathlib
import re
import subprocess
import sys

import pytest
from hostile_files import write_running_parquet

from h2rec_tf.data.parquet_file import open_parquet
from h2rec_tf.errors import InputError

ROOT = pathlib.Path(__file__).parents[3]
# Beside the one that is allowed to.
OTHER_DOORS = re.compile(
    r"pyarrow\.(parquet|feather|ipc|dataset|orc)|pyarrow import .*\b(parquet|feather|ipc|dataset)\b"
)
PANDAS_DOORS = re.compile(r"\.read_(parquet|feather|orc|pickle)\(|allow_pickle=True")


def test_the_file_runs_its_command_where_nothing_forbids_it(tmp_path):
    path, marker = tmp_path / "items.parquet", tmp_path / "ran"
    write_running_parquet(path, marker, {"item_id": ["a", "b"], "title": ["A", "B"]})
    code = f"from pyarrow import parquet\ntry: parquet.ParquetFile({str(path)!r})\nexcept Exception: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert marker.exists(), "the file of these tests is harmless: they prove nothing"


@pytest.mark.parametrize("role", ["items", "interactions", "embeddings"])
def test_data_check_runs_nothing(tmp_path, role):
    marker = tmp_path / "ran"
    files = {"items": "items.csv", "interactions": "interactions.csv"}
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\nc,C\n")
    rows = "".join(f"u{row % 4},{'abc'[row % 3]},{row}\n" for row in range(24))
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
    files[role] = f"{role}.parquet"
    write_running_parquet(tmp_path / files[role], marker, {"item_id": ["a", "b"], "user_id": ["u", "v"]})
    arguments = [part for name, file in files.items() for part in (f"--{name}", file)]
    command = [sys.executable, "-m", "h2rec_tf.cli.main", "data", "check", *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: {role}.parquet: refused: a column's type is a Python object, which only code in the file could make; "
        "write the table again with plain types\n"
    )
    assert not marker.exists()


def test_a_pickle_that_is_none_is_refused_as_well(tmp_path):
    write_running_parquet(tmp_path / "a.parquet", tmp_path / "ran", {"item_id": ["a"]}, pickled=b"\x80\x04")
    with (
        pytest.raises(InputError, match=r"a\.parquet: not readable as Parquet: "),
        open_parquet(tmp_path / "a.parquet"),
    ):
        pass


def test_no_other_module_opens_files_that_can_run_code():
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for package in ("h2rec_tf", "tfx_pipeline", "serving", "benchmarks", "scripts")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "parquet_file.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if (OTHER_DOORS.search(line) and "ParquetFile" not in line) or PANDAS_DOORS.search(line)
    ]
    assert found == []
