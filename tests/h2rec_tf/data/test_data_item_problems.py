"""Bad vectors and items files: one line with file, row, column, what was found and the remedy."""

import json

import numpy as np
import pytest

from h2rec_tf.data.catalogue import read_catalogue
from h2rec_tf.errors import InputError

ITEMS = "".join(json.dumps({"item_id": f"i{item}", "title": f"Item {item}"}) + "\n" for item in range(3))


def error_of(function, *args, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)
IDS = np.asarray(["i0", "i1", "i2"])


def embeddings(tmp_path, name="v.npz", **arrays):
    np.savez(tmp_path / name, **({"item_id": IDS, "embedding": VECTORS} | arrays))
    return str(tmp_path / name)


def with_value(value):
    changed = VECTORS.copy()
    changed[1, 2] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "pieces"),
    [
        ({"embedding": with_value(np.nan)}, ["v.npz:2: column `embedding`: nan at place 2 of the vector"]),
        ({"embedding": with_value(np.inf).astype(np.float16)}, ["v.npz:2: column `embedding`: inf at place 2"]),
        ({"embedding": VECTORS[:2]}, ["`item_id` [3] and `embedding` [2, 4]", "expected [n] and [n, D]"]),
        ({"embedding": VECTORS.ravel()}, ["`embedding` [12]"]),
        ({"item_id": np.asarray([0.0, 1.0, 2.0])}, ["ids are float64; they must be strings or integers"]),
        ({"item_id": np.asarray(["i0", "i1", "x"])}, ["items.jsonl:3: column `item_id`: item 'i2' has no vector in"]),
        (
            {"item_id": np.asarray(["i0", "i1", "i1"])},
            ["v.npz:3: column `item_id`: item 'i1' again", "2 bad rows in all"],
        ),
        ({"item_id": np.asarray(["i0", "i1", None], object)}, ["v.npz: column `item_id`: an array of Python objects"]),
    ],
)
def test_bad_npz(tmp_path, arrays, pieces):
    items = write(tmp_path, "items.jsonl", ITEMS)
    message = error_of(read_catalogue, items, embeddings_path=embeddings(tmp_path, **arrays))
    for piece in pieces:
        assert piece in message


def test_unreadable_embeddings(tmp_path):
    items = write(tmp_path, "items.jsonl", ITEMS)
    np.savez(tmp_path / "names.npz", ids=IDS, vectors=VECTORS)
    message = error_of(read_catalogue, items, embeddings_path=str(tmp_path / "names.npz"))
    assert "no array `item_id`; the file has ids, vectors" in message
    whole = (tmp_path / "names.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        message = error_of(read_catalogue, items, embeddings_path=write(tmp_path, "cut.npz", content))
        assert "cut.npz: neither a whole .npz nor Parquet" in message
    embeddings(tmp_path, "ok.npz")
    content = bytearray((tmp_path / "ok.npz").read_bytes())
    content[content.rindex(VECTORS[2].tobytes())] ^= 0xFF
    assert "damaged" in error_of(read_catalogue, items, embeddings_path=write(tmp_path, "d.npz", bytes(content)))
    assert "no such file" in error_of(read_catalogue, items, embeddings_path=str(tmp_path / "none.npz"))
    csv = write(tmp_path, "v.csv", "item_id,embedding\ni0,1\n")
    assert "neither a whole .npz nor Parquet" in error_of(read_catalogue, items, embeddings_path=csv)


def test_bad_values_of_items_that_are_not_in_the_catalogue_do_not_matter(tmp_path):
    items = write(tmp_path, "items.jsonl", ITEMS)
    vectors = np.vstack([VECTORS, np.full(4, np.nan)])
    path = embeddings(tmp_path, item_id=np.asarray([*IDS, "other"]), embedding=vectors)
    catalogue, problems = read_catalogue(items, embeddings_path=path)
    assert len(catalogue) == 3
    assert problems.notes == {f"vectors in {path} for other items": 1}


@pytest.mark.parametrize(
    ("rows", "pieces"),
    [
        ([[1, 2], [3, 4], [5]], ["items.jsonl:3: column `v`: a vector of 1 numbers where others have 2"]),
        ([[5], [1, 2], [3, 4]], ["items.jsonl:1: column `v`: a vector of 1 numbers where others have 2"]),
        ([[1, 2], [3, 4], []], ["items.jsonl:3: column `v`: no vector"]),
        ([[1, 2], None, [3, 4]], ["items.jsonl:2: column `v`: no vector"]),
        ([[1, 2], [3, float("nan")], [3, 4]], ["items.jsonl:2: column `v`: nan at place 1"]),
        (
            [[1, 2], [3, 1e300], [3, 4]],
            ["items.jsonl:2: column `v`: 1e+300 at place 1 of the vector, larger than 1e+15"],
        ),
        ([[1, 2], [3, None], [3, 4]], ["items.jsonl:2: column `v`: [3, null] where other rows hold a list of numbers"]),
        (["1 2", "3 x", "3 4"], ["items.jsonl:2: column `v`: not a list of numbers"]),
        ([1, 2, 3], ["column `v` holds int64; vectors must be lists of numbers"]),
        ([[], [], []], ["column `v` holds no numbers"]),
    ],
)
def test_bad_vector_column(tmp_path, rows, pieces):
    lines = [json.dumps({"item_id": f"i{row}", "title": "t", "v": value}) for row, value in enumerate(rows)]
    message = error_of(read_catalogue, write(tmp_path, "items.jsonl", "\n".join(lines)), vector_column="v")
    for piece in pieces:
        assert piece in message


def test_bad_items(tmp_path):
    items = write(tmp_path, "items.csv", "item_id,title\na,x\n,y\nb,z\na,w\n")
    assert "items.csv:3: column `item_id`: empty item id (2 bad rows" in error_of(read_catalogue, items)
    assert "--catalogue-item-column" in error_of(read_catalogue, items, item_column="movieId")
    message = error_of(read_catalogue, items, title_column="Title", max_bad_rows=2)
    assert "missing column `Title`" in message
    assert "--title-column title" in message
    assert "--text-column" in error_of(read_catalogue, items, text_columns=["plot"], max_bad_rows=2)
    assert "--vector-column" in error_of(read_catalogue, items, vector_column="v", max_bad_rows=2)
    both = error_of(read_catalogue, items, vector_column="v", embeddings_path="e.npz")
    assert "give vectors only once" in both
    bare = write(tmp_path, "bare.csv", "item_id,price\na,3\nb,4\n")
    assert "no item has text or a vector" in error_of(read_catalogue, bare)
