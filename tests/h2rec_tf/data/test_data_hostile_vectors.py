"""Files of vectors that are damaged, or say more than they hold: one line, and no memory for what is not there."""

import io
import json
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from h2rec_tf.data.catalogue import read_catalogue
from h2rec_tf.data.embeddings import read_embeddings
from h2rec_tf.data.problems import Problems
from h2rec_tf.errors import InputError

IDS = np.asarray(["i0", "i1", "i2"])
VECTORS = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
ITEMS = "".join(json.dumps({"item_id": f"i{item}", "title": f"Item {item}"}) + "\n" for item in range(3))


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **({"item_id": IDS, "embedding": VECTORS} | arrays))
    return file.getvalue()


def zipped(compression=zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def array_bytes(array, **header) -> bytes:
    """An array as NumPy writes it, with parts of the header exchanged."""
    file = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(file, described | header)
    return file.getvalue() + array.tobytes()


def claiming(content: bytes, size: int) -> bytes:
    """A zip whose directory says that each member takes `size` bytes once unpacked."""
    changed = bytearray(content)
    place = changed.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + 24 : place + 28] = struct.pack("<I", size)
        place = changed.find(b"PK\x01\x02", place + 4)
    return bytes(changed)


def locked(content: bytes) -> bytes:
    """The same zip, said to be encrypted."""
    changed = bytearray(content)
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = changed.find(mark)
        while place >= 0:
            changed[place + offset] |= 1
            place = changed.find(mark, place + 4)
    return bytes(changed)


GOOD_IDS, GOOD_VECTORS = array_bytes(IDS), array_bytes(VECTORS)
BAD_IDS = np.frombuffer("i0i1".encode("utf-32-le") + struct.pack("<II", 0x110000, 65), "<U2")


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        (b"", ["v.npz: neither a whole .npz nor Parquet"]),
        ("é".encode("latin-1") * 50, ["v.npz: neither a whole .npz nor Parquet"]),
        (npz()[:-30], ["v.npz: neither a whole .npz nor Parquet"]),
        (zipped(), ["no array `item_id`; the file has none; save it with numpy.savez"]),
        (locked(npz()), ["v.npz: damaged", "encrypted"]),
        (claiming(npz(), 1 << 31), ["column `item_id`: says that it holds 2,048 MiB", "times the size of the file"]),
        (
            zipped(item_id=GOOD_IDS, embedding=array_bytes(VECTORS, shape=(1 << 40, 4))),
            ["column `embedding`: damaged: the header says [1099511627776, 4] of float32, and 48 bytes follow"],
        ),
        (
            zipped(item_id=array_bytes(IDS, descr="<U0", shape=(1 << 40,)), embedding=GOOD_VECTORS),
            ["column `item_id`: an array of Python objects, records or nothing"],
        ),
        (
            zipped(item_id=GOOD_IDS, embedding=array_bytes(VECTORS, shape=(-3, -4))),
            ["v.npz: column `embedding`: damaged: the header says [-3, -4]"],
        ),
        (zipped(item_id=b"no array", embedding=GOOD_VECTORS), ["v.npz: damaged", "magic"]),
        (zipped(item_id=GOOD_IDS[:20], embedding=GOOD_VECTORS), ["v.npz: damaged"]),
        (
            npz(embedding=np.asarray([[{}]] * 3, object)),
            ["v.npz: column `embedding`: an array of Python objects, records or nothing (object)"],
        ),
        (npz(embedding=np.zeros((3, 0))), ["v.npz: column `embedding`: 3 vectors of 0 numbers: nothing to read"]),
        (npz(embedding=VECTORS + 1j), ["`embedding` [3, 4] of complex64; expected [n] and [n, D] of a float type"]),
        (
            npz(embedding=np.where(VECTORS == 6, 1e300, VECTORS)),
            ["v.npz:2: column `embedding`: 1e+300 at place 1 of the vector, larger than 1e+15"],
        ),
        (
            npz(embedding=np.where(VECTORS == 6, -3e38, VECTORS).astype(np.float32)),
            ["v.npz:2: column `embedding`: -3e+38 at place 1", "its square is too large for float32"],
        ),
        (npz(item_id=np.asarray([b"i0", b"\xff", b"i2"])), ["v.npz:2: column `item_id`: the id is no"]),
        (npz(item_id=BAD_IDS), ["v.npz:3: column `item_id`: the id is no text"]),
        (npz(item_id=np.asarray(["i0", " ", "i2"])), ["v.npz:2: column `item_id`: empty item id"]),
        (npz(item_id=np.asarray(["i0", "i1", "i1"])), ["v.npz:3: column `item_id`: item 'i1' again"]),
        (npz(item_id=np.asarray([True, False, True])), ["ids are bool; they must be strings or integers"]),
    ],
)
def test_what_is_wrong_with_a_file_of_vectors_is_one_line(tmp_path, content, pieces):
    (tmp_path / "v.npz").write_bytes(content)
    (tmp_path / "i.jsonl").write_text(ITEMS)
    with pytest.raises(InputError) as caught:
        read_catalogue(str(tmp_path / "i.jsonl"), embeddings_path=str(tmp_path / "v.npz"))
    assert all(piece in str(caught.value) for piece in pieces), caught.value
    assert "\n" not in str(caught.value)


def test_integer_ids_and_ids_of_other_items(tmp_path):
    (tmp_path / "i.csv").write_text("item_id,title\n7,A\n8,B\n")
    (tmp_path / "v.npz").write_bytes(
        npz(item_id=np.asarray([8, 9, 7], np.uint16), embedding=np.asfortranarray(VECTORS))
    )
    catalogue, problems = read_catalogue(str(tmp_path / "i.csv"), embeddings_path=str(tmp_path / "v.npz"))
    found = dict(zip(catalogue.item_ids, catalogue.vectors.tolist(), strict=True))
    assert found == {"7": VECTORS[2].tolist(), "8": VECTORS[0].tolist()}
    assert (problems.total, list(problems.notes.values())) == (0, [1])


PARTS = (npz(), zipped(zipfile.ZIP_DEFLATED, item_id=GOOD_IDS, embedding=GOOD_VECTORS))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "v.npz"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    content=st.sampled_from(PARTS),
    changes=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.none() | st.integers(0, 10**4),
)
def test_no_damage_is_an_error_of_another_kind(place, content, changes, cut):
    changed = bytearray(content)
    for position, value in changes:
        changed[position % len(changed)] = value
    place.write_bytes(bytes(changed[: cut and cut % len(changed)]))
    try:
        read = read_embeddings(str(place), item_column="item_id", problems=Problems())
    except InputError as error:
        assert "\n" not in str(error)
        assert str(place) in str(error)
    else:
        # NumPy decides what an undamaged file holds.
        with np.load(place) as arrays:
            assert np.array_equal(arrays["embedding"], read.matrix, equal_nan=True)


@pytest.mark.parametrize(
    ("kind", "values", "pieces"),
    [
        (pa.list_(pa.float32()), [[1, 2], [3, None], [5, 6]], ["i.parquet:2: column `v`: null at place 1"]),
        (pa.large_list(pa.int64()), [[1, 2], None, [5, 6]], ["i.parquet:2: column `v`: no vector"]),
        (pa.list_(pa.float64(), 2), [[1, 2], [3, 1e200], [5, 6]], ["i.parquet:2: column `v`: 1e+200 at place 1"]),
        (pa.list_(pa.float64()), [[], [], []], ["column `v` holds no numbers"]),
        (pa.list_(pa.string()), [["1"], ["2"], ["x"]], ["column `v` holds list<item: string>; vectors must be lists"]),
        (pa.list_(pa.bool_()), [[True], [False], [True]], ["column `v` holds list<item: bool>"]),
        (pa.list_(pa.list_(pa.float32())), [[[1.0]]] * 3, ["column `v`: holds list<item: list<item: float>>"]),
        (pa.string(), ["1 2", "1_0 2", "3 4"], ["i.parquet:2: column `v`: not a list of numbers: `_` is in it"]),
    ],
)
def test_vectors_in_parquet_that_cannot_be_used(tmp_path, kind, values, pieces):
    table = pa.table({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"], "v": pa.array(values, kind)})
    parquet.write_table(table, tmp_path / "i.parquet")
    with pytest.raises(InputError) as caught:
        read_catalogue(str(tmp_path / "i.parquet"), vector_column="v")
    assert all(piece in str(caught.value) for piece in pieces), caught.value
    assert "\n" not in str(caught.value)


def test_few_bytes_that_say_they_are_many_rows_take_no_memory(tmp_path):
    """Some KiB of Parquet, most of a GB in memory."""
    table = pa.table({name: pa.nulls(40_000_000, pa.int8()) for name in ("item_id", "title")})
    parquet.write_table(table, tmp_path / "i.parquet")
    assert (tmp_path / "i.parquet").stat().st_size < 1 << 20
    code = (
        "import resource, sys\n"
        "from h2rec_tf.data.catalogue import read_catalogue\n"
        "from h2rec_tf.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_catalogue(sys.argv[1])\n"
        "except InputError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "i.parquet")]
    message, taken = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "says that it holds 305 MiB" in message
    assert int(taken) < 100 << 10
