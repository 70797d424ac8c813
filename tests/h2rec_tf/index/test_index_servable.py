"""The ScaNN servable against the exact one, and the commands that build, evaluate and tune."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import sharing
import tensorflow as tf
from click.testing import CliRunner
from support import MAX_LENGTH, item_parts, random_sequences, tiny_model

from h2rec_tf import names
from h2rec_tf.cli.main import cli
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from h2rec_tf.export import ServingModel, export_model
from h2rec_tf.export.loaded import LoadedModel
from h2rec_tf.export.saved import exported_text_encoder
from h2rec_tf.index.scann_index import build_index
from h2rec_tf.index.servable import build_servable
from h2rec_tf.index.tune import tune_index
from h2rec_tf.models.cold_items import ColdItems
from h2rec_tf.quantizers.rq_kmeans import RqKmeans
from h2rec_tf.text.tfidf_svd import TfidfSvd
from serving.server.servable import Servable

ITEMS = 300
IDS = np.asarray([f"ïtem {row}" for row in range(ITEMS)], object)
CATEGORIES = np.asarray(["rare|all" if row % 30 == 0 else "all" for row in range(ITEMS)], object)
TEXTS = [f"word{row % 7} word{row % 11} word{row % 13}" for row in range(ITEMS)]


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of versions with an exported model, version 3."""
    parts = item_parts(ITEMS)
    train = random_sequences(80, ITEMS)
    model = tiny_model(train=train, parts=parts)
    encoder = TfidfSvd(dimensions=6).fit(TEXTS)
    popularity = np.bincount(train.items, minlength=ITEMS + 1)
    quantizer = RqKmeans(levels=2, codes=4, iterations=3).fit(encoder.encode(TEXTS))
    module = ServingModel(
        model,
        item_ids=IDS,
        titles=np.asarray([f"Title {row}" for row in range(ITEMS)], object),
        popularity=popularity,
        max_length=MAX_LENGTH,
        max_k=40,
        categories=CATEGORIES,
        cold_items=ColdItems(model, quantizer=quantizer, codes=parts["codes"], popularity=popularity),
        text_encoder=encoder,
    )
    folder = tmp_path_factory.mktemp("exact")
    export_model(module, str(folder / "3"))
    return str(folder)


@pytest.fixture(scope="module", params=["brute", "tree_ah"])
def pair(request: pytest.FixtureRequest, exact: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The exact and the ScaNN servable, loaded."""
    directory = str(tmp_path_factory.mktemp("scann") / "servable")
    settings = {"index.kind": request.param, "index.leaves": 8, "index.leaves_to_search": 8, "index.reorder": 60}
    model = LoadedModel(exact)
    build_servable(model, directory, config=Config().replace(**settings).index)
    return model.loaded, tf.saved_model.load(directory)


def _matrix(rows: list[list[str]]) -> tf.Tensor:
    width = max(len(row) for row in rows)
    return tf.constant([[*row, *[""] * (width - len(row))] for row in rows], tf.string, [len(rows), width])


def _asked(loaded: Any, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in loaded.signatures[signature](**inputs).items()}


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"exclude": [IDS[:250].tolist()]},
        {"allow_categories": [["rare"]]},
        {"exclude": [IDS[:290].tolist()], "allow_categories": [["rare"]]},
    ],
    ids=["plain", "exclude", "category", "both"],
)
@pytest.mark.parametrize("rows", [[IDS[[3, 17]].tolist(), IDS[100:130].tolist()], [["nowhere"], [IDS[5]]]])
def test_recommends_as_exact_search_does(pair: tuple[Any, Any], rows: list[list[str]], lists: dict[str, Any]) -> None:
    given = {name: _matrix(lists.get(name, [[]])) for name in ("exclude", "allow_categories")}
    exact, scann = (
        _asked(loaded, names.SERVING_DEFAULT, history=_matrix(rows), k=tf.constant(12), **given) for loaded in pair
    )
    np.testing.assert_array_equal(scann[names.COUNT], exact[names.COUNT])
    for row in range(len(rows)):
        same = set(scann[names.ITEM_IDS][row]) & set(exact[names.ITEM_IDS][row])
        assert len(same) >= len(set(exact[names.ITEM_IDS][row])) - 1
        banned = {item.encode() for item in [*rows[row], *(lists.get("exclude", [[]])[0])]}
        assert not banned & set(scann[names.ITEM_IDS][row])
    np.testing.assert_allclose(scann[names.SCORES][:, 0], exact[names.SCORES][:, 0], atol=1e-5)


def test_all_signatures_answer_as_the_exact_servable(pair: tuple[Any, Any]) -> None:
    exact, scann = pair
    assert set(scann.signatures) == set(exact.signatures)
    ids = tf.constant([IDS[6], "nowhere"])
    requests: dict[str, dict[str, Any]] = {
        names.ITEM_EMBEDDING: {"item_ids": ids},
        names.ITEM_TITLES: {"item_ids": ids},
        names.USER_EMBEDDING: {"history": _matrix([[IDS[4], IDS[9]], []])},
        names.RANK_CANDIDATES: {"history": _matrix([[IDS[4]]]), "candidates": _matrix([[IDS[1], "nowhere", IDS[2]]])},
        names.COLD_ITEM_EMBEDDING: {"vectors": tf.eye(3, 6)},
        names.SIMILAR_ITEMS: {"item_ids": ids, "k": tf.constant(1)},
    }
    for signature, inputs in requests.items():
        expected = _asked(exact, signature, **inputs)
        for name, value in _asked(scann, signature, **inputs).items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=f"{signature} {name}")
            else:
                np.testing.assert_array_equal(value, expected[name], err_msg=f"{signature} {name}")


def test_the_text_encoder_lies_beside_the_model(exact: str) -> None:
    encoder = exported_text_encoder(f"{exact}/3")
    vectors = encoder.encode(TEXTS[:4])
    np.testing.assert_allclose(vectors, TfidfSvd(dimensions=6).fit(TEXTS).encode(TEXTS[:4]), atol=1e-5)
    answer = tf.saved_model.load(f"{exact}/3").signatures[names.COLD_ITEM_EMBEDDING](vectors=tf.constant(vectors))
    assert answer[names.LEARNED_EMBEDDING].shape == (4, len(LoadedModel(exact).learned_table()[0]))


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["index", *arguments])


def test_commands_build_evaluate_and_tune(exact: str, tmp_path: pathlib.Path) -> None:
    built = _run("build", "--model-dir", exact, "--output", str(tmp_path / "out"))
    assert built.exit_code == 0, built.output
    assert "brute: 300 items" in built.output and (tmp_path / "out" / "serving" / "3" / "saved_model.pb").is_file()
    common = ["--model-dir", exact, "--k", "10", "--queries", "30"]
    report = tmp_path / "report.json"
    evaluated = _run("evaluate", "--index-dir", str(tmp_path / "out" / "index"), "--json", str(report), *common)
    assert evaluated.exit_code == 0 and "blessed" in evaluated.output, evaluated.output
    assert json.loads(report.read_text())["recall"] == 1.0
    log = tmp_path / "log.csv"
    log.write_text("who,item_id,timestamp\n" + "".join(f"u{row % 9},{IDS[row]},{row}\n" for row in range(60)))
    tuned = _run(
        "tune", "--kind", "tree_ah", "--output", str(tmp_path / "t.yaml"), "--interactions", str(log),
        "--user-column", "who", *common,
    )  # fmt: skip
    assert tuned.exit_code == 0 and "*" in tuned.output, tuned.output
    assert Config.load(str(tmp_path / "t.yaml")).index.kind == "tree_ah"


def test_an_index_below_its_limits_ends_with_one(exact: str, tmp_path: pathlib.Path) -> None:
    config = Config().replace(**{"index.kind": "tree_ah", "index.leaves": 20, "index.leaves_to_search": 1})
    config.save(str(tmp_path / "narrow.yaml"))
    narrow = ["--config", str(tmp_path / "narrow.yaml")]
    model = LoadedModel(exact)
    build_index(model.vectors(), model.item_ids, str(tmp_path / "index"), config=config.index)
    result = _run("evaluate", "--model-dir", exact, "--index-dir", str(tmp_path / "index"), *narrow)
    assert result.exit_code == 1 and "recall@100" in result.output, result.output


def test_tuning_finds_the_fastest_of_what_it_tried() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(400, 8)).astype(np.float32)
    config = Config().replace(**{"index.kind": "tree_ah", "index.k": 10, "index.target_recall": 0.9}).index
    tuning = tune_index(vectors, vectors[:30], config=config)
    assert tuning.reached and tuning.best.recall >= 0.9 and len(tuning.trials) <= 64
    enough = [trial for trial in tuning.trials if trial.recall >= 0.9]
    assert tuning.best.p50_ms == min(trial.p50_ms for trial in enough)
    assert tuning.config.leaves_to_search == tuning.best.leaves_to_search
    impossible = tune_index(vectors, vectors[:5], config=Config().replace(**{"index.kind": "brute"}).index)
    assert impossible.reached and len(impossible.trials) == 1


def test_a_directory_without_a_model_of_this_package_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="holds no version"):
        LoadedModel(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(InputError, match="export the model with this package"):
        LoadedModel(str(tmp_path / "other"))


def test_vectors_of_cold_items_do_not_depend_on_who_else_asks(exact: str) -> None:
    generator = np.random.default_rng(0)
    servable = Servable.load(3, f"{exact}/3")
    requests = [
        {names.VECTORS: generator.normal(size=(int(rows), 6)).astype(np.float32)}
        for rows in generator.integers(1, 4, 8)
    ]
    assert sharing.check(servable, names.COLD_ITEM_EMBEDDING, requests, tolerance=1e-5) == [8]
    servable.close()


def test_another_catalogue_is_refused_with_what_is_unknown(exact: str, tmp_path: pathlib.Path) -> None:
    vectors = LoadedModel(exact).vectors()
    other = np.concatenate([IDS[:-30], [f"other {row}" for row in range(30)]]).astype(object)
    build_index(vectors, other, str(tmp_path / "other"), config=Config().index)
    build_index(vectors, IDS, str(tmp_path / "index"), config=Config().index)
    common = ["evaluate", "--model-dir", exact, "--k", "10", "--queries", "30"]
    refused = _run(*common, "--index-dir", str(tmp_path / "other"))
    assert isinstance(refused.exception, InputError)
    said = str(refused.exception)
    assert "not of this model's catalogue: 10.0% (30 of 300) of the index's items are unknown" in said
    log = tmp_path / "log.csv"
    rows = [f"u{row % 9},{IDS[row] if row % 4 else f'gone {row}'},{row}" for row in range(60)]
    log.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    common += ["--index-dir", str(tmp_path / "index"), "--interactions", str(log)]
    refused = _run(*common)
    assert isinstance(refused.exception, InputError)
    assert "25.0% of its items (15 of 60) are unknown to the model" in str(refused.exception)
    assert "--allow-other-catalogue" in str(refused.exception)
    accepted = _run(*common, "--allow-other-catalogue")
    assert accepted.exit_code == 0 and "(15 of 60) are unknown to the model and are passed over" in accepted.output
