"""From ids and texts to vectors, with a model whose signatures are a few lines of NumPy."""

import numpy as np
import pytest
from stores import open_engine

from h2rec_tf import names
from h2rec_tf.errors import InputError
from h2rec_tf.text.tfidf_svd import TfidfSvd
from serving.retrieval_service import signatures
from serving.retrieval_service.operations import Operations
from serving.retrieval_service.towers import ModelTowers
from serving.server.errors import RequestError

TEXTS = ["red running shoes", "trail running shoes", "steel frying pan", "frying pan with a lid"]


class NumPyModel:
    """Item vectors are the text vectors, and a user is the sum of its items'."""

    version = 1

    def __init__(self, vectors: np.ndarray, *, cold_width: int) -> None:
        self._known = dict(zip((b"shoe 1", b"shoe 2", b"pan 1", b"pan 2"), vectors, strict=True))
        self._cold_width = cold_width
        self.width = vectors.shape[1]

    def inputs(self, signature: str) -> set[str]:
        return {
            names.USER_EMBEDDING: {names.HISTORY},
            names.ITEM_EMBEDDING: {names.ITEM_IDS},
            names.COLD_ITEM_EMBEDDING: {names.VECTORS},
            names.SERVING_DEFAULT: {names.HISTORY, names.K, names.EXCLUDE},
        }.get(signature, set())

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if signature == names.COLD_ITEM_EMBEDDING:
            return {names.EMBEDDING: inputs[names.VECTORS][:, : self._cold_width]}
        if signature == names.SERVING_DEFAULT:
            assert not any(map(any, inputs[names.HISTORY])), "the index answers who has a history"
            ids, scores = [], []
            for excluded in inputs[names.EXCLUDE]:
                popular = [item for item in (b"pan 2", b"shoe 1", b"pan 1") if item not in excluded]
                popular = popular[: int(inputs[names.K])]
                # As the exported model marks places that stay empty.
                ids.append(popular + [b""] * (3 - len(popular)))
                scores.append(range(9, 6, -1))
            return {names.ITEM_IDS: np.asarray(ids, object), names.SCORES: np.asarray(scores, np.float32)}
        nothing = np.zeros(self.width, np.float32)
        if signature == names.ITEM_EMBEDDING:
            return {names.EMBEDDING: np.stack([self._known.get(item, nothing) for item in inputs[names.ITEM_IDS]])}
        rows = [sum((self._known.get(item, nothing) for item in row), nothing) for row in inputs[names.HISTORY]]
        return {names.EMBEDDING: np.stack(rows)}

    def close(self) -> None:
        pass


@pytest.fixture
def parts(tmp_path):
    encoder = TfidfSvd(dimensions=4).fit(TEXTS)
    encoder.save(str(tmp_path / "encoder"))
    return encoder.encode(TEXTS), str(tmp_path / "encoder")


def strings(*texts: str) -> np.ndarray:
    return np.asarray([text.encode() for text in texts], object)


def upsert_inputs(item_ids, **given) -> dict[str, np.ndarray]:
    empty = np.empty(0, object)
    none = {names.TITLES: empty, names.VECTORS: np.empty((0, 4), np.float32), signatures.TEXTS: empty}
    return {**none, signatures.TEXT_VECTORS: np.empty((0, 0), np.float32), names.ITEM_IDS: item_ids, **given}


def test_an_item_is_trained_or_made_of_its_text_and_found_at_once(tmp_path, parts):
    vectors, folder = parts
    towers = ModelTowers(NumPyModel(vectors, cold_width=4), text_encoder=folder)
    with open_engine(tmp_path / "items", towers.width) as engine:
        operations = Operations(engine, width=towers.width, query_tower=towers, item_tower=towers)
        ids = strings("shoe 2", "pan 1", "new shoe", "new pan")
        # The text of an item that was trained is not asked.
        texts = strings("frying pan", "", "running shoes", "frying pan")
        written = operations.run(signatures.UPSERT, upsert_inputs(ids, texts=texts))
        assert written[signatures.EXISTED].tolist() == [False] * 4
        stored = operations.run(names.ITEM_EMBEDDING, {names.ITEM_IDS: ids})[names.EMBEDDING]
        encoder = TfidfSvd(dimensions=4).fit(TEXTS)
        expected = [vectors[1], vectors[2], *encoder.encode(["running shoes", "frying pan"])]
        assert np.allclose(stored, expected, atol=1e-6)
        history = np.asarray([[b"shoe 1", b"shoe 2"], [b"", b"pan 2"]], object)
        ask = {names.HISTORY: history, names.K: np.int32(2), names.EXCLUDE: np.empty((1, 0), object)}
        found = operations.run(names.SERVING_DEFAULT, ask)
        assert found[names.ITEM_IDS][0, 0] == b"new shoe"
        assert set(found[names.ITEM_IDS][1]) == {b"new pan", b"pan 1"}


def test_who_is_unknown_gets_what_is_popular(tmp_path, parts):
    vectors, folder = parts
    towers = ModelTowers(NumPyModel(vectors, cold_width=4), text_encoder=folder)
    with open_engine(tmp_path / "items", towers.width) as engine:
        operations = Operations(engine, width=towers.width, query_tower=towers, item_tower=towers)
        operations.run(signatures.UPSERT, upsert_inputs(strings("shoe 1", "shoe 2", "pan 1")))
        history = np.asarray([[b"", b"nobody knows"], [b"shoe 2", b""], [b"", b""]], object)
        ask = {
            names.HISTORY: history,
            names.K: np.int32(3),
            names.EXCLUDE: np.asarray([[b""], [b""], [b"pan 1"]], object),
        }
        found = operations.run(names.SERVING_DEFAULT, ask)
        # "pan 2" is the model's, but not in the index.
        assert found[names.ITEM_IDS][0].tolist() == [b"shoe 1", b"pan 1"]
        assert found[names.ITEM_IDS][1, 0] == b"shoe 1"
        assert found[names.COUNT].tolist() == [2, 2, 1]
        assert found[names.ITEM_IDS][2, 0] == b"shoe 1"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"texts": strings("shoes", "zzz")}, "`texts` row 1: the text encoder knows no word"),
        ({"texts": strings("shoes")}, "`texts` has 1 rows for 2 item ids"),
        ({"text_vectors": np.full((2, 4), np.nan, np.float32)}, "`text_vectors` row 0: holds a value"),
        ({"text_vectors": np.ones((2, 4), np.float32)}, "gives vectors of width 3, its users have 4"),
    ],
)
def test_what_cannot_become_a_vector_is_refused(tmp_path, parts, inputs, message):
    vectors, folder = parts
    towers = ModelTowers(NumPyModel(vectors, cold_width=3), text_encoder=folder)
    with open_engine(tmp_path / "items", 4) as engine:
        operations = Operations(engine, width=4, query_tower=towers, item_tower=towers)
        with pytest.raises(RequestError, match=message):
            operations.run(signatures.UPSERT, upsert_inputs(strings("a", "b"), **inputs))
        assert engine.status().items == engine.status().sequence == 0


def test_a_folder_without_a_text_encoder_is_refused(tmp_path, parts):
    with pytest.raises(InputError, match="holds no text encoder"):
        ModelTowers(NumPyModel(parts[0], cold_width=4), text_encoder=str(tmp_path))
