"""The signatures: names and types, and what those beside the default one answer."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from export_support import DATA, IDS, MAX_K, ids_of, matrix, recommend, saved_model
from support import run_python

from h2rec_tf import names


def test_signature_names_and_types(signatures: Any) -> None:
    listed = {"item_ids", "titles", "scores", "count"}
    expected = {
        names.SERVING_DEFAULT: ({"history", "k", "exclude", "allow_categories"}, listed),
        names.SERVE_EXAMPLES: ({"examples", "k"}, listed),
        names.SIMILAR_ITEMS: ({"item_ids", "k"}, listed),
        names.RANK_CANDIDATES: ({"history", "candidates"}, {"scores", "order", "known"}),
        names.USER_EMBEDDING: ({"history"}, {"embedding", "learned_embedding", "seen_excluded"}),
        names.ITEM_EMBEDDING: ({"item_ids"}, {"embedding", "learned_embedding"}),
        names.ITEM_TITLES: ({"item_ids"}, {"titles"}),
    }
    assert set(expected) <= set(signatures)
    for name, (inputs, outputs) in expected.items():
        assert set(signatures[name].structured_input_signature[1]) == inputs
        assert set(signatures[name].structured_outputs) == outputs


@pytest.mark.parametrize(
    ("signature", "lists"),
    [
        (names.SERVING_DEFAULT, {names.EXCLUDE, names.ALLOW_CATEGORIES}),
        (names.SERVE_EXAMPLES, set()),
        (names.SIMILAR_ITEMS, set()),
    ],
)
def test_inputs_that_a_request_may_leave_out_have_defaults(directory: str, signature: str, lists: set[str]) -> None:
    defaults = saved_model(directory).meta_graphs[0].signature_def[signature].defaults
    values = {name: tf.make_ndarray(value) for name, value in defaults.items()}
    assert set(values) == {names.K, *lists}
    assert values[names.K] == 10 and values[names.K].dtype == np.int32
    assert all(values[name].shape == (1, 0) for name in lists)


def test_serve_examples_reads_serialized_examples(signatures: Any) -> None:
    def example(items: list[str] | None) -> bytes:
        feature = {}
        if items is not None:
            values = tf.train.BytesList(value=[item.encode() for item in items])
            feature[names.HISTORY] = tf.train.Feature(bytes_list=values)
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    rows = [[IDS[4], IDS[8]], [IDS[30]], []]
    serialized = tf.constant([*(example(row) for row in rows), example(None)])
    answer = signatures[names.SERVE_EXAMPLES](examples=serialized, k=tf.constant(4))
    expected = recommend(signatures, [*rows, []], k=4)
    assert ids_of({key: value.numpy() for key, value in answer.items()}) == ids_of(expected)


def test_embeddings_and_titles_by_id(model: Any, signatures: Any) -> None:
    ids = tf.constant([IDS[6], "nowhere", IDS[0], ""])
    vectors = signatures[names.ITEM_EMBEDDING](item_ids=ids)[names.EMBEDDING].numpy()
    np.testing.assert_allclose(vectors, model.item_table().numpy()[[7, 0, 1, 0]], atol=1e-6)
    titles = signatures[names.ITEM_TITLES](item_ids=ids)[names.TITLES].numpy().astype(str).tolist()
    assert titles == ["Title 6", "", "Title 0", ""]
    users = signatures[names.USER_EMBEDDING](history=tf.constant([[IDS[2], "nowhere", IDS[4]]]))[names.EMBEDDING]
    np.testing.assert_allclose(users, model(tf.constant([[3, 5]])), atol=1e-5)


def test_products_of_learned_embeddings_are_the_scores_of_lists(model: Any, signatures: Any) -> None:
    users = signatures[names.USER_EMBEDDING](history=tf.constant([[IDS[2], "nowhere", IDS[4]]]))
    answer = recommend(signatures, [[IDS[2], IDS[4]]], k=3)
    best = signatures[names.ITEM_EMBEDDING](item_ids=tf.constant(answer[names.ITEM_IDS][0]))
    learned = best[names.LEARNED_EMBEDDING] @ tf.transpose(users[names.LEARNED_EMBEDDING])
    np.testing.assert_allclose(learned[:, 0], answer[names.SCORES][0], atol=1e-5)
    # The whole vectors differ from them by the seen part alone.
    width = users[names.LEARNED_EMBEDDING].shape[1]
    assert users[names.EMBEDDING].shape[1] - width == model.seen_size > 0
    np.testing.assert_array_equal(users[names.EMBEDDING][:, :width], users[names.LEARNED_EMBEDDING])
    np.testing.assert_array_equal(best[names.EMBEDDING][:, :width], best[names.LEARNED_EMBEDDING])


def test_similar_items_are_the_nearest_by_cosine_without_the_item_itself(model: Any, signatures: Any) -> None:
    ids = [IDS[6], "nowhere", IDS[0]]
    answer = signatures[names.SIMILAR_ITEMS](item_ids=tf.constant(ids), k=tf.constant(5))
    answer = {key: value.numpy() for key, value in answer.items()}
    table = model.learned_table().numpy()[1:]
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    for row, place in ((0, 6), (2, 0)):
        cosines = unit @ unit[place]
        cosines[place] = -np.inf
        best = np.argsort(-cosines)[:5]
        assert ids_of(answer)[row] == IDS[best].tolist()
        np.testing.assert_allclose(answer[names.SCORES][row], cosines[best], atol=1e-5)
    assert answer[names.COUNT].tolist() == [5, 0, 5] and ids_of(answer)[1] == [""] * 5
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be between"):
        signatures[names.SIMILAR_ITEMS](item_ids=tf.constant(ids), k=tf.constant(MAX_K + 1))


def test_candidates_are_ranked_and_unknown_ones_marked(model: Any, signatures: Any) -> None:
    histories = [[IDS[2], IDS[4]], [], ["nowhere"]]
    candidates = [[IDS[9], "nowhere", IDS[4], IDS[30], IDS[9]], ["", IDS[1], IDS[2]], [IDS[3]]]
    answer = signatures[names.RANK_CANDIDATES](history=matrix(histories), candidates=matrix(candidates))
    answer = {key: value.numpy() for key, value in answer.items()}
    known = [[True, False, True, True, True], [False, True, True, False, False], [True, *[False] * 4]]
    np.testing.assert_array_equal(answer[names.KNOWN], known)
    table = model.learned_table().numpy()
    expected = table[[10, 5, 31, 10]] @ model(tf.constant([[3, 5]])).numpy()[0, : table.shape[1]]
    np.testing.assert_allclose(answer[names.SCORES][0, [0, 2, 3, 4]], expected, atol=1e-5)
    np.testing.assert_array_equal(answer[names.SCORES][1, [1, 2]], DATA.popularity[[2, 3]])
    assert (answer[names.SCORES][~np.asarray(known)] == np.finfo(np.float32).min).all()
    for row, scores in enumerate(answer[names.SCORES]):
        assert answer[names.ORDER][row].tolist() == np.argsort(-scores, kind="stable").tolist()


def test_candidates_of_many_rows_are_scored_in_memory_that_they_do_not_decide() -> None:
    code = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, tensorflow as tf
from export_support import noisy_model, serving_of
trained = noisy_model()
model = serving_of(trained, categories=None)
items = tf.constant(np.random.default_rng(0).integers(1, 40, [2048, 8]), tf.int32)
candidates = tf.constant(np.random.default_rng(1).integers(1, 40, [2048, 8192]), tf.int32)
few = tf.function(model.rank, autograph=False)(items, candidates[:, :5])["scores"].numpy()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
many = tf.function(model.rank, autograph=False)(items, candidates)["scores"].numpy()
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
np.testing.assert_allclose(many[:, :5], few, rtol=1e-5, atol=1e-5)
# The vectors of all candidates at once; the scores themselves and their order take some of it.
print(grown, many.size * model.learned_size * 4 / 2**20)
"""
    grown, vectors = run_python(code, str(pathlib.Path(__file__).parent)).stdout.split()
    assert float(grown) < float(vectors) / 2
