"""What is measured is what is served: figures counted by hand from a server's lists equal those of every evaluation.

The data have what makes lists and ranks fall apart: targets that the user has had before, histories longer than the
model reads, empty histories, ids that the model does not know, and items whose scores are equal.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from support import MAX_LENGTH, item_parts, tiny_config

from h2rec_tf import names
from h2rec_tf.cli.main import cli
from h2rec_tf.config import Config
from h2rec_tf.data.load import load_dataset
from h2rec_tf.data.sequences import Dataset, Holdout
from h2rec_tf.errors import InputError
from h2rec_tf.export import export_model, serving_model
from h2rec_tf.models.exported import absent_inputs
from h2rec_tf.semantic_ids import build_semantic_ids
from h2rec_tf.training.configured import train_configured
from serving.client import Client
from serving.retrieval_service.client import RetrievalClient
from serving.retrieval_service.options import RetrievalOptions
from serving.retrieval_service.server import RetrievalServer
from serving.server.model_server import ModelServer
from serving.server.options import ServerOptions

ITEMS, USERS, K = 50, 40, 10


@dataclasses.dataclass
class Case:
    """A trained and exported model with its data."""

    config: Config
    folder: pathlib.Path
    dataset: Dataset
    validation_ndcg: float

    @property
    def model_dir(self) -> str:
        return str(self.folder / "serving")

    def files(self) -> list[str]:
        return [
            *("--interactions", str(self.folder / "interactions.csv"), "--items", str(self.folder / "items.csv")),
            *("--embeddings", str(self.folder / "vectors.npz"), "--config", str(self.folder / "config.yaml")),
        ]

    def histories(self, holdout: Holdout) -> list[list[str]]:
        """What a request sends: whole histories, with an id among them that no model knows."""
        ids = self.dataset.catalogue.item_ids
        rows = [ids[holdout.histories.history(row) - 1].tolist() for row in range(len(holdout))]
        return [[*row[:-1], "nobody's", *row[-1:]] for row in rows]

    def targets(self, holdout: Holdout) -> list[str]:
        return self.dataset.catalogue.item_ids[holdout.targets - 1].tolist()


def counted(lists: list[list[str]], targets: list[str]) -> tuple[float, float]:
    """HR@10 and NDCG@10 of lists, by hand."""
    hits, gains = [], []
    for items, target in zip(lists, targets, strict=True):
        place = items[:K].index(target) + 1 if target in items[:K] else 0
        hits.append(1.0 if place else 0.0)
        gains.append(1 / np.log2(place + 1.0) if place else 0.0)
    return float(np.mean(hits)), float(np.mean(gains))


@pytest.fixture(scope="module", params=["exclude", "include"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder, generator = tmp_path_factory.mktemp(request.param), np.random.default_rng(3)
    lines = ["user_id,item_id,timestamp"]
    for user in range(USERS):
        # Some come late and are new when the test begins; most come back to what they had.
        first, own = (0, 8) if user % 5 else (300, 3)
        liked = generator.integers(ITEMS, size=own)
        for number, step in enumerate(sorted(generator.integers(first, 400, 25 if user % 5 else 4))):
            item = generator.choice(liked) if generator.random() < 0.6 else (user + number) % ITEMS
            # What everyone begins with is the most popular item, the answer to who is new.
            item = item if number else 7
            lines.append(f"u{user},i{item},{step * 1000 + user}")
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"i{row},Title {row}\n" for row in range(ITEMS)))
    ids = np.asarray([f"i{row}" for row in range(ITEMS)])
    np.savez(folder / "vectors.npz", item_id=ids, embedding=item_parts(ITEMS)["vectors"])
    # Codes alone: items that share a code tuple have one vector, and so equal scores.
    config = tiny_config(
        **{"model.branches": "sid", "loss.item_alignment": 0.0, "loss.user_alignment": 0.0, "training.epochs": 1},
        **{"model.seen_slots": 16, "quantizer.levels": 2, "serving.seen": request.param, "data.split": "temporal"},
    )
    config.save(str(folder / "config.yaml"))
    dataset, _ = load_dataset(
        str(folder / "interactions.csv"),
        str(folder / "items.csv"),
        embeddings_path=str(folder / "vectors.npz"),
        config=config.data,
    )
    semantic_ids = build_semantic_ids(dataset.catalogue, quantizer=config.quantizer)
    result = train_configured(config, semantic_ids, dataset.train, dataset.validation)
    export_model(serving_model(result.model, semantic_ids, dataset.popularity, config), str(folder / "serving" / "1"))
    return Case(config, folder, dataset, result.best_ndcg_at_10)


@pytest.fixture(scope="module")
def served(case: Case) -> list[list[str]]:
    """Lists of the exact server for the test users, over the wire."""
    options = ServerOptions(model_dir=case.model_dir, port=0, rest_port=None, poll_seconds=0)
    with ModelServer(options) as server, Client(server.target) as client:
        answers = client.recommend(case.histories(case.dataset.test), k=K)
    return [[item.item_id for item in answer] for answer in answers]


def signature_lists(loaded: Any, histories: list[list[str]]) -> list[list[str]]:
    """What `serving_default` answers."""
    recommend, width = loaded.signatures[names.SERVING_DEFAULT], max(map(len, histories))
    rows = tf.constant([[*row, *[""] * (width - len(row))] for row in histories])
    found = recommend(history=rows, k=tf.constant(K), **absent_inputs(recommend))[names.ITEM_IDS].numpy()
    return [[item.decode() for item in row if item] for row in found]


def test_the_data_have_what_makes_figures_differ(case: Case, served: list[list[str]]) -> None:
    test, ids = case.dataset.test, case.dataset.catalogue.item_ids
    histories = [set(test.histories.history(row).tolist()) for row in range(len(test))]
    repeated = np.asarray([target in seen for target, seen in zip(test.targets, histories, strict=True)])
    assert 0.2 < repeated.mean() < 0.8
    assert (test.histories.lengths > MAX_LENGTH).any() and (test.histories.lengths == 0).any()
    loaded = tf.saved_model.load(f"{case.model_dir}/1")
    vectors = loaded.signatures[names.ITEM_EMBEDDING](item_ids=tf.constant(ids))[names.LEARNED_EMBEDDING].numpy()
    assert len(np.unique(vectors, axis=0)) < ITEMS / 2
    seen = [set(history) & set(items) for history, items in zip(case.histories(test), served, strict=True)]
    assert any(seen) == (case.config.serving.seen == "include")


def test_evaluate_gives_what_the_server_lists(case: Case, served: list[list[str]], tmp_path: pathlib.Path) -> None:
    report = tmp_path / "report.json"
    result = CliRunner().invoke(cli, ["evaluate", *case.files(), "--model-dir", case.model_dir, "--json", str(report)])
    assert result.exit_code == 0, result.output
    figures = json.loads(report.read_text())["h2rec"]
    assert (
        figures["protocol"] == {"exclude": "seen excluded", "include": "seen items compete"}[case.config.serving.seen]
    )
    overall = figures["slices"]["overall"]
    assert (overall["hr@10"], overall["ndcg@10"]) == counted(served, case.targets(case.dataset.test))
    assert 0 < overall["hr@10"] < 1
    assert overall["users"] == len(served)


def test_validation_gives_what_the_signature_lists(case: Case) -> None:
    validation = case.dataset.validation
    lists = signature_lists(tf.saved_model.load(f"{case.model_dir}/1"), case.histories(validation))
    assert case.validation_ndcg == counted(lists, case.targets(validation))[1]


def test_a_model_of_another_catalogue_is_refused_or_measured_as_it_serves(case: Case, tmp_path: pathlib.Path) -> None:
    # Ten items have other names, so neither side knows those of the other.
    for name in ("interactions.csv", "items.csv"):
        text = (case.folder / name).read_text()
        for row in range(40, ITEMS):
            text = text.replace(f"i{row},", f"x{row},")
        (tmp_path / name).write_text(text)
    ids = [f"{'i' if row < 40 else 'x'}{row}" for row in range(ITEMS)]
    np.savez(tmp_path / "vectors.npz", item_id=np.asarray(ids), embedding=item_parts(ITEMS)["vectors"])
    case.config.save(str(tmp_path / "config.yaml"))
    there = dataclasses.replace(case, folder=tmp_path)
    report = tmp_path / "report.json"
    arguments = ["evaluate", *there.files(), "--model-dir", case.model_dir, "--json", str(report)]
    refused = CliRunner().invoke(cli, arguments)
    # The command's own entry turns it into one line and exit code 2.
    assert isinstance(refused.exception, InputError) and not report.exists()
    said = str(refused.exception)
    assert "20.0% (10 of 50) of the data's items are unknown to the model" in said
    assert "20.0% (10 of 50) of the model's items are not in the data" in said
    assert "--allow-other-catalogue" in said
    accepted = CliRunner().invoke(cli, [*arguments, "--allow-other-catalogue"])
    assert accepted.exit_code == 0, accepted.output
    there.dataset, _ = load_dataset(
        str(tmp_path / "interactions.csv"),
        str(tmp_path / "items.csv"),
        embeddings_path=str(tmp_path / "vectors.npz"),
        config=case.config.data,
    )
    test = there.dataset.test
    lists = signature_lists(tf.saved_model.load(f"{case.model_dir}/1"), there.histories(test))
    overall = json.loads(report.read_text())["h2rec"]["slices"]["overall"]
    assert (overall["hr@10"], overall["ndcg@10"]) == counted(lists, there.targets(test))
    assert any(target.startswith("x") for target in there.targets(test))


@pytest.mark.slow  # Builds a ScaNN servable of each model.
def test_a_scann_servable_and_the_retrieval_service_list_what_the_server_lists(
    case: Case, served: list[list[str]], tmp_path: pathlib.Path
) -> None:
    arguments = ["index", "build", "--model-dir", case.model_dir, "--kind", "brute", "--output", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    histories = case.histories(case.dataset.test)
    assert signature_lists(tf.saved_model.load(str(tmp_path / "serving" / "1")), histories) == served
    options = RetrievalOptions(data_dir=str(tmp_path / "items"), model_dir=case.model_dir, port=0)
    with RetrievalServer(options) as service, RetrievalClient(service.target) as client:
        client.upsert(case.dataset.catalogue.item_ids.tolist())
        answers = client.recommend(histories, k=K)
        # What a request excludes is left out under both policies.
        barred = served[0][0]
        (without,) = client.recommend(histories[:1], k=K, exclude=[[barred]])
        alike = client.similar_items(["i7"], k=K)[0]
    assert [[hit.item_id for hit in answer] for answer in answers] == served
    assert [hit.item_id for hit in without][: K - 1] == served[0][1:]
    loaded = tf.saved_model.load(f"{case.model_dir}/1")
    ids = case.dataset.catalogue.item_ids
    learned = loaded.signatures[names.ITEM_EMBEDDING](item_ids=tf.constant(ids))[names.LEARNED_EMBEDDING].numpy()
    own = int(np.flatnonzero(ids == "i7")[0])
    best = [item for item in np.argsort(-(learned @ learned[own]), kind="stable") if item != own][:K]
    assert [hit.score for hit in alike] == pytest.approx((learned[best] @ learned[own]).tolist(), abs=1e-5)
