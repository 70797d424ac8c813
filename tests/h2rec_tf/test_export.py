"""The exported model: string ids in and out, edge requests, agreement with the evaluation, plain TensorFlow ops."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MAX_LENGTH, NUM_ITEMS, left_padded, run_python, tiny_dataset, tiny_model
from tensorflow.core.protobuf import saved_model_pb2

from h2rec_tf import names
from h2rec_tf.evaluation import evaluate
from h2rec_tf.export import ServingModel, export_model
from h2rec_tf.models.vector_recommender import VectorRecommender

DATA = tiny_dataset()
IDS = DATA.catalogue.item_ids
MAX_K = 45
# Every item but the last has "even" or "odd"; some are "rare" too.
CATEGORIES = np.asarray(
    [("even" if row % 2 == 0 else "odd") + ("|rare" if row % 7 == 0 else "") for row in range(NUM_ITEMS - 1)] + [""],
    object,
)


def _model(**changes: Any) -> Any:
    model = tiny_model(train=DATA.train, **changes)
    generator = np.random.default_rng(1)
    model.set_weights([value + generator.normal(0.0, 0.3, value.shape) for value in model.get_weights()])
    return model


def _serving(model: Any, **changes: Any) -> ServingModel:
    arguments = {"max_length": MAX_LENGTH, "max_k": MAX_K, **changes}
    return ServingModel(
        model,
        item_ids=IDS,
        titles=DATA.catalogue.titles,
        popularity=DATA.popularity,
        **{"categories": CATEGORIES, **arguments},
    )


@pytest.fixture(scope="module")
def model() -> Any:
    return _model()


@pytest.fixture(scope="module")
def module(model: Any) -> ServingModel:
    return _serving(model)


@pytest.fixture(scope="module")
def directory(module: ServingModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("export") / "1")
    export_model(module, path)
    return path


@pytest.fixture(scope="module")
def signatures(directory: str) -> Any:
    loaded = tf.saved_model.load(directory)
    # The loaded object owns the variables that the signatures use.
    signatures = dict(loaded.signatures)
    signatures["owner"] = loaded
    return signatures


def _matrix(rows: list[list[str]]) -> tf.Tensor:
    width = max(len(row) for row in rows)
    return tf.constant([[*row, *[""] * (width - len(row))] for row in rows], tf.string, [len(rows), width])


def _recommend(signatures: Any, rows: list[list[str]], k: int = 10, **lists: list[list[str]]) -> dict[str, np.ndarray]:
    # TensorFlow Serving fills in what the signature gives as default; in Python every input is required.
    given = {name: _matrix(lists.get(name, [[]])) for name in (names.EXCLUDE, names.ALLOW_CATEGORIES)}
    answer = signatures[names.SERVING_DEFAULT](history=_matrix(rows), k=tf.constant(k, tf.int32), **given)
    return {key: value.numpy() for key, value in answer.items()}


def _ids(answer: dict[str, np.ndarray]) -> list[list[str]]:
    return [[item.decode() for item in row] for row in answer[names.ITEM_IDS]]


def test_recommends_the_best_unseen_items_by_the_models_score(model: Any, signatures: Any) -> None:
    history = [3, 17, 9]
    answer = _recommend(signatures, [[IDS[item - 1] for item in history]], k=6)
    users = model(tf.constant([history])).numpy()
    scores = (users @ model.item_table().numpy().T)[0]
    scores[[0, *history]] = -np.inf
    best = np.argsort(-scores)[:6]
    assert _ids(answer) == [[IDS[item - 1] for item in best]]
    np.testing.assert_allclose(answer[names.SCORES][0], scores[best], atol=1e-5)
    assert answer[names.TITLES][0].astype(str).tolist() == [DATA.catalogue.titles[item - 1] for item in best]
    assert answer[names.ITEM_IDS].dtype == object and answer[names.SCORES].dtype == np.float32


@pytest.mark.parametrize(
    ("signature", "lists"),
    [
        (names.SERVING_DEFAULT, {names.EXCLUDE, names.ALLOW_CATEGORIES}),
        (names.SERVE_EXAMPLES, set()),
        (names.SIMILAR_ITEMS, set()),
    ],
)
def test_inputs_that_a_request_may_leave_out_have_defaults(directory: str, signature: str, lists: set[str]) -> None:
    defaults = _saved(directory).meta_graphs[0].signature_def[signature].defaults
    values = {name: tf.make_ndarray(value) for name, value in defaults.items()}
    assert set(values) == {names.K, *lists}
    assert values[names.K] == 10 and values[names.K].dtype == np.int32
    assert all(values[name].shape == (1, 0) for name in lists)


def test_unknown_and_empty_ids_are_ignored_wherever_they_stand(signatures: Any) -> None:
    plain = _recommend(signatures, [[IDS[4], IDS[8]]])
    mixed = _recommend(signatures, [["nowhere", IDS[4], "", IDS[8], "", "Größe", ""]])
    assert _ids(mixed) == _ids(plain)
    np.testing.assert_allclose(mixed[names.SCORES], plain[names.SCORES], atol=1e-5)


def test_rows_of_a_batch_are_answered_each_for_itself(signatures: Any) -> None:
    rows = [[IDS[4]], [IDS[4], IDS[8], IDS[30]], [], ["nowhere"]]
    together = _recommend(signatures, rows)
    for row, history in enumerate(rows):
        assert _ids(_recommend(signatures, [history]))[0] == _ids(together)[row]


def test_items_of_the_whole_history_never_come_back(signatures: Any) -> None:
    # Longer than the model reads.
    history = IDS[:30].tolist() * 2
    answer = _recommend(signatures, [history], k=MAX_K)
    found = [item for item in _ids(answer)[0] if item]
    assert sorted(found) == sorted(IDS[30:])
    assert _ids(answer)[0][len(found) :] == [""] * (NUM_ITEMS - len(found)), "nothing is left to fill the list"
    assert (answer[names.TITLES][0][len(found) :] == b"").all()
    assert answer[names.COUNT].tolist() == [len(found)]
    assert np.isfinite(answer[names.SCORES]).all()


def test_only_the_last_items_of_a_long_history_are_read(signatures: Any) -> None:
    long = [*IDS[20:40], *IDS[:MAX_LENGTH]]
    scores = [
        dict(zip(_ids(answer)[0], answer[names.SCORES][0], strict=True))
        for answer in (_recommend(signatures, [history], k=MAX_K) for history in (long, IDS[:MAX_LENGTH].tolist()))
    ]
    for item in set(scores[0]) & set(scores[1]) - {""}:
        np.testing.assert_allclose(scores[0][item], scores[1][item], atol=1e-5)


@pytest.mark.parametrize("history", [[], ["nowhere", ""]])
def test_without_known_history_the_most_popular_items_come(signatures: Any, history: list[str]) -> None:
    answer = _recommend(signatures, [history], k=5)
    counts = DATA.popularity[1:]
    expected = np.argsort(-counts, kind="stable")[:5]
    assert _ids(answer) == [IDS[expected].tolist()]
    np.testing.assert_array_equal(answer[names.SCORES][0], counts[expected])


def test_k_above_the_catalogue_gives_all_that_is_left(signatures: Any) -> None:
    answer = _recommend(signatures, [[IDS[0]]], k=MAX_K)
    assert answer[names.ITEM_IDS].shape == (1, NUM_ITEMS)
    assert _ids(answer)[0][-1] == "" and "" not in _ids(answer)[0][:-1]


@pytest.mark.parametrize("k", [0, -3, MAX_K + 1])
def test_k_out_of_range_is_refused_with_the_range(signatures: Any, k: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`k` must be between 1 and {MAX_K}"):
        _recommend(signatures, [[IDS[0]]], k=k)


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
    expected = _recommend(signatures, [*rows, []], k=4)
    assert _ids({key: value.numpy() for key, value in answer.items()}) == _ids(expected)


def test_embeddings_and_titles_by_id(model: Any, signatures: Any) -> None:
    ids = tf.constant([IDS[6], "nowhere", IDS[0], ""])
    vectors = signatures[names.ITEM_EMBEDDING](item_ids=ids)[names.EMBEDDING].numpy()
    np.testing.assert_allclose(vectors, model.item_table().numpy()[[7, 0, 1, 0]], atol=1e-6)
    titles = signatures[names.ITEM_TITLES](item_ids=ids)[names.TITLES].numpy().astype(str).tolist()
    assert titles == ["Title 6", "", "Title 0", ""]
    users = signatures[names.USER_EMBEDDING](history=tf.constant([[IDS[2], "nowhere", IDS[4]]]))[names.EMBEDDING]
    np.testing.assert_allclose(users, model(tf.constant([[3, 5]])), atol=1e-5)
    # The two signatures are what an index needs: their product is the score.
    answer = _recommend(signatures, [[IDS[2], IDS[4]]], k=3)
    best = signatures[names.ITEM_EMBEDDING](item_ids=tf.constant(answer[names.ITEM_IDS][0]))[names.EMBEDDING]
    np.testing.assert_allclose((best @ tf.transpose(users))[:, 0], answer[names.SCORES][0], atol=1e-5)


def _oracle(model: Any, history: list[int], barred: set[int], allowed: set[str]) -> list[int]:
    """All items that may come back, best first."""
    scores = _scores(model, history) if history else DATA.popularity.astype(np.float32)
    left = [
        item
        for item in range(1, NUM_ITEMS + 1)
        if item not in barred
        and item not in history
        and (not allowed or allowed & set(CATEGORIES[item - 1].split("|")))
    ]
    return sorted(left, key=lambda item: (-scores[item], item))


def _scores(model: Any, history: list[int]) -> np.ndarray:
    padded = tf.constant(left_padded([history[-MAX_LENGTH:]], MAX_LENGTH))
    return model.item_table().numpy() @ model.user_vectors(padded).numpy()[0]


_LISTS = st.lists(st.integers(0, NUM_ITEMS), max_size=MAX_K)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.tuples(_LISTS, _LISTS, st.sets(st.sampled_from(["even", "odd", "rare", "none such"]), max_size=2)),
        min_size=1,
        max_size=3,
    ),
    k=st.integers(1, MAX_K),
)
def test_filters_hold_for_any_request(model: Any, signatures: Any, rows: list[Any], k: int) -> None:
    # 0 stands for an id that the catalogue does not have.
    texts = ["nowhere", *IDS]
    answer = _recommend(
        signatures,
        [[texts[item] for item in history] for history, _, _ in rows],
        k=k,
        exclude=[[texts[item] for item in barred] for _, barred, _ in rows],
        allow_categories=[sorted(allowed) for _, _, allowed in rows],
    )
    for row, (sent, barred, allowed) in enumerate(rows):
        history = [item for item in sent if item]
        expected = _oracle(model, history, set(barred), allowed)[:k]
        count = int(answer[names.COUNT][row])
        found = _ids(answer)[row]
        assert count == len(expected) and set(found[count:]) <= {""}
        scores = answer[names.SCORES][row]
        assert (np.diff(scores) <= 1e-6).all() and (scores[count:] == np.finfo(np.float32).min).all()
        # Near ties may change places by the order of summation.
        assert (
            set(found[:count]) == {IDS[item - 1] for item in expected}
            or abs(scores[count - 1] - _scores(model, history)[expected[-1]]) < 1e-5
        )


def test_one_exclude_list_and_one_allow_list_hold_for_all_rows(signatures: Any) -> None:
    rows = [[IDS[4]], [IDS[9]], []]
    lists = {"exclude": [IDS[:20].tolist()], "allow_categories": [["odd", "", "rare"]]}
    answer = _recommend(signatures, rows, k=MAX_K, **lists)
    for row in _ids(answer):
        assert not set(row) & set(IDS[:20]) and IDS[-1] not in row
    each = _recommend(signatures, rows, k=MAX_K, **{name: 3 * value for name, value in lists.items()})
    np.testing.assert_array_equal(each[names.ITEM_IDS], answer[names.ITEM_IDS])
    with pytest.raises(tf.errors.InvalidArgumentError):
        _recommend(signatures, rows, exclude=[[IDS[0]], [IDS[1]]])


def test_catalogues_without_categories_have_no_allow_list(model: Any, tmp_path: pathlib.Path) -> None:
    export_model(_serving(model, categories=None), str(tmp_path / "1"))
    definition = _saved(str(tmp_path / "1")).meta_graphs[0].signature_def[names.SERVING_DEFAULT]
    assert set(definition.inputs) == {names.HISTORY, names.K, names.EXCLUDE}
    assert set(definition.defaults) == {names.K, names.EXCLUDE}


def test_similar_items_are_the_nearest_by_cosine_without_the_item_itself(model: Any, signatures: Any) -> None:
    ids = [IDS[6], "nowhere", IDS[0]]
    answer = signatures[names.SIMILAR_ITEMS](item_ids=tf.constant(ids), k=tf.constant(5))
    answer = {key: value.numpy() for key, value in answer.items()}
    table = model.item_table().numpy()[1:]
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    for row, place in ((0, 6), (2, 0)):
        cosines = unit @ unit[place]
        cosines[place] = -np.inf
        best = np.argsort(-cosines)[:5]
        assert _ids(answer)[row] == IDS[best].tolist()
        np.testing.assert_allclose(answer[names.SCORES][row], cosines[best], atol=1e-5)
    assert answer[names.COUNT].tolist() == [5, 0, 5] and _ids(answer)[1] == [""] * 5
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be between"):
        signatures[names.SIMILAR_ITEMS](item_ids=tf.constant(ids), k=tf.constant(MAX_K + 1))


def test_candidates_are_ranked_and_unknown_ones_marked(model: Any, signatures: Any) -> None:
    histories = [[IDS[2], IDS[4]], [], ["nowhere"]]
    candidates = [[IDS[9], "nowhere", IDS[4], IDS[30], IDS[9]], ["", IDS[1], IDS[2]], [IDS[3]]]
    answer = signatures[names.RANK_CANDIDATES](history=_matrix(histories), candidates=_matrix(candidates))
    answer = {key: value.numpy() for key, value in answer.items()}
    known = [[True, False, True, True, True], [False, True, True, False, False], [True, *[False] * 4]]
    np.testing.assert_array_equal(answer[names.KNOWN], known)
    user = model(tf.constant([[3, 5]])).numpy()[0]
    expected = model.item_table().numpy()[[10, 5, 31, 10]] @ user
    np.testing.assert_allclose(answer[names.SCORES][0, [0, 2, 3, 4]], expected, atol=1e-5)
    np.testing.assert_array_equal(answer[names.SCORES][1, [1, 2]], DATA.popularity[[2, 3]])
    assert (answer[names.SCORES][~np.asarray(known)] == np.finfo(np.float32).min).all()
    for row, scores in enumerate(answer[names.SCORES]):
        assert answer[names.ORDER][row].tolist() == np.argsort(-scores, kind="stable").tolist()


def test_examples_carry_their_own_lists(signatures: Any) -> None:
    def feature(items: list[str]) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[item.encode() for item in items]))

    features = {"history": feature([IDS[4]]), "exclude": feature([IDS[1], IDS[2]])}
    restricted = {**features, "allow_categories": feature(["rare"])}
    serialized = tf.constant(
        [
            tf.train.Example(features=tf.train.Features(feature=row)).SerializeToString()
            for row in (features, restricted)
        ]
    )
    answer = signatures[names.SERVE_EXAMPLES](examples=serialized, k=tf.constant(MAX_K))
    found = _ids({key: value.numpy() for key, value in answer.items()})
    expected = _recommend(
        signatures, 2 * [[IDS[4]]], k=MAX_K, exclude=2 * [[IDS[1], IDS[2]]], allow_categories=[[], ["rare"]]
    )
    assert found == _ids(expected)


@pytest.mark.parametrize("item_block", [7, 1, NUM_ITEMS])
def test_blocks_of_items_change_nothing(model: Any, module: ServingModel, item_block: int) -> None:
    blocked = _serving(model, item_block=item_block)
    items = tf.constant(DATA.test.histories.padded(np.arange(8), 12))
    for key, value in blocked.recommend(items, tf.constant(15)).items():
        expected = module.recommend(items, tf.constant(15))[key]
        if value.dtype == tf.string:
            np.testing.assert_array_equal(value, expected)
        else:
            np.testing.assert_allclose(value, expected, atol=1e-5)
    targets = tf.constant(DATA.test.targets[:8])
    np.testing.assert_array_equal(blocked.ranks(items, targets), module.ranks(items, targets))


@pytest.mark.parametrize("changes", [{}, {"model.branches": "hid", "model.backbone": "bert4rec"}])
def test_ranks_and_metrics_agree_with_the_evaluation(model: Any, changes: dict[str, Any]) -> None:
    model = _model(**changes) if changes else model
    module = _serving(model, item_block=16)
    expected = evaluate(VectorRecommender(model, max_length=MAX_LENGTH), DATA.test, popularity=DATA.popularity)
    items = tf.constant(DATA.test.histories.padded(np.arange(len(DATA.test)), 12))
    targets = tf.constant(DATA.test.targets)
    np.testing.assert_array_equal(module.ranks(items, targets), expected.ranks)
    for name, values in module.metrics(items, targets).items():
        np.testing.assert_allclose(
            tf.reduce_mean(values), expected.metric(name.replace("_", "@")), rtol=1e-5, err_msg=name
        )
    labels = module.popularity_slices(targets).numpy().astype(str)
    np.testing.assert_array_equal(labels == names.HEAD, expected.slices[names.HEAD])
    np.testing.assert_array_equal(labels == names.TAIL, expected.slices[names.TAIL])
    assert (module.ranks(items, tf.zeros_like(targets)).numpy() == NUM_ITEMS + 1).all()


def test_ties_rank_pessimistically(model: Any) -> None:
    flat = _serving(model)
    flat._table.assign(tf.ones_like(flat._table))
    ranks = flat.ranks(tf.constant([[1, 2]]), tf.constant([5]))
    np.testing.assert_array_equal(ranks, [NUM_ITEMS])


_FRESH = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
none = tf.zeros([1, 0], tf.string)
answer = loaded.signatures["serving_default"](
    history=tf.constant(json.loads(sys.argv[2])), k=tf.constant(7), exclude=none, allow_categories=none
)
assert not any(name.startswith(("h2rec_tf", "tensorflow_recommenders")) for name in sys.modules)
print(json.dumps([[item.decode() for item in row] for row in answer["item_ids"].numpy()]))
"""


def test_a_fresh_process_with_tensorflow_alone_serves_it(directory: str, signatures: Any) -> None:
    rows = [[IDS[3], IDS[4]], ["nowhere", IDS[7]]]
    found = json.loads(run_python(_FRESH, directory, json.dumps(rows)).stdout.splitlines()[-1])
    assert found == _ids(_recommend(signatures, rows, k=7))


def _saved(directory: str) -> Any:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())
    return saved


def test_the_graph_has_plain_tensorflow_ops_only(directory: str) -> None:
    graph = _saved(directory).meta_graphs[0].graph_def
    ops = {node.op for node in graph.node} | {
        node.op for function in graph.library.function for node in function.node_def
    }
    # That each op is TensorFlow's own is shown by the process above, which has nothing else.
    assert not [op for op in ops if "PyFunc" in op or "Scann" in op]


def test_signature_names_and_types(signatures: Any) -> None:
    listed = {"item_ids", "titles", "scores", "count"}
    expected = {
        names.SERVING_DEFAULT: ({"history", "k", "exclude", "allow_categories"}, listed),
        names.SERVE_EXAMPLES: ({"examples", "k"}, listed),
        names.SIMILAR_ITEMS: ({"item_ids", "k"}, listed),
        names.RANK_CANDIDATES: ({"history", "candidates"}, {"scores", "order", "known"}),
        names.USER_EMBEDDING: ({"history"}, {"embedding"}),
        names.ITEM_EMBEDDING: ({"item_ids"}, {"embedding"}),
        names.ITEM_TITLES: ({"item_ids"}, {"titles"}),
    }
    assert set(expected) <= set(signatures)
    for name, (inputs, outputs) in expected.items():
        assert set(signatures[name].structured_input_signature[1]) == inputs
        assert set(signatures[name].structured_outputs) == outputs
