"""`h2rec train` and `h2rec evaluate` say whether a model beats the baselines; with `--gate` so does the exit code."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import tiny_dataset

from h2rec_tf.cli.comparison import compare, show_verdict
from h2rec_tf.cli.data import data
from h2rec_tf.cli.evaluate import evaluate
from h2rec_tf.cli.train import train
from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Dataset
from h2rec_tf.errors import InputError, NotBlessedError
from h2rec_tf.evaluation import Protocol

CONFIG = """
text: {dimensions: 16}
quantizer: {levels: 2, codes: 8, iterations: 2}
codebooks: {max_collision_rate: 1.0}
model: {hidden_size: 8, layers: 1, max_length: 5, branches: hid}
loss: {item_alignment: 0.0, user_alignment: 0.0}
training: {epochs: 1, min_epoch_steps: 0, batch_size: 128, validation_users: 50}
"""


class Told:
    """Scores what it is told for each history, and noise for the rest."""

    max_length = 12

    def __init__(self, dataset: Dataset, *, right: float) -> None:
        generator = np.random.default_rng(0)
        self.num_items = len(dataset.catalogue)
        histories = dataset.test.histories.padded(np.arange(len(dataset.test)), self.max_length)
        self._answers = {row.tobytes(): generator.random(self.num_items + 1) for row in histories}
        for row, target in zip(histories, dataset.test.targets, strict=True):
            if generator.random() < right:
                self._answers[row.tobytes()][target] = 2.0

    def queries(self, histories: np.ndarray) -> np.ndarray:
        return np.stack([self._answers[row.tobytes()] for row in histories])

    def scores(self, queries: np.ndarray, start: int, stop: int) -> np.ndarray:
        return queries[:, start:stop]


@pytest.mark.parametrize(("right", "beaten"), [(1.0, True), (0.0, False)])
def test_the_verdict_is_about_full_ranking_whatever_the_table_shows(right: float, beaten: bool) -> None:
    dataset = tiny_dataset()
    config = Config().replace(**{"evaluation.ks": [3]})
    few, served = Protocol("include", sampled_negatives=5), Protocol("include")
    table, verdict = compare(Told(dataset, right=right), dataset, config, served="include", shown=few)
    assert table.startswith("model (5 negatives)") and "item-kNN" in table
    assert [test.baseline for test in verdict.tests] == ["popularity", "item_knn"]
    assert not verdict.reasons if beaten else verdict.reasons
    plain, same = compare(Told(dataset, right=right), dataset, config, served="include", shown=served)
    assert plain.startswith(f"model ({served.name})") and same == verdict
    if beaten:
        assert verdict.value > 0.9
        show_verdict(verdict, gated=True)
    else:
        show_verdict(verdict, gated=False)
        with pytest.raises(NotBlessedError, match="the model was refused: overall ndcg@10") as caught:
            show_verdict(verdict, gated=True)
        assert caught.value.exit_code == 3


class Folder:
    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        made = CliRunner().invoke(data, ["synthesize", str(path / "files"), "--items", "100", "--users", "100"])
        assert made.exit_code == 0, made.output
        (path / "config.yaml").write_text(CONFIG)
        self.files = ["--interactions", str(path / "files" / "interactions.csv.gz")]
        self.files += ["--items", str(path / "files" / "items.jsonl"), "--config", str(path / "config.yaml")]
        self.trained: Result = CliRunner().invoke(train, [*self.files, "--output", str(path / "run"), "--gate"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("gate"))


def test_a_refused_training_ends_with_code_3_and_leaves_the_model(folder: Folder) -> None:
    error = folder.trained.exception
    assert isinstance(error, NotBlessedError), folder.trained.output
    assert error.exit_code == 3
    assert re.search(r"overall ndcg@10 0\.\d+ does not beat the baseline item_knn", str(error))
    assert "\ngate: does not beat item_knn: ndcg@10 0." in folder.trained.stdout
    assert (folder.path / "run" / "serving" / "1" / "saved_model.pb").is_file()


def test_evaluate_says_the_same_and_ends_well_without_the_flag(folder: Folder) -> None:
    model = ["--model-dir", str(folder.path / "run" / "serving")]
    found = CliRunner().invoke(evaluate, [*folder.files, *model])
    assert found.exit_code == 0, found.exception
    assert "\ngate: refused: overall ndcg@10 0." in found.stdout
    lines = [line for line in folder.trained.stdout.splitlines() if line.startswith("gate: ")]
    assert [line for line in found.stdout.splitlines() if line.startswith("gate: does")] == lines


def test_codebooks_that_tell_little_apart_stop_a_gated_training_before_it_begins(folder: Folder) -> None:
    strict = folder.path / "strict.yaml"
    strict.write_text(CONFIG.replace("max_collision_rate: 1.0", "max_collision_rate: 0.1"))
    output = folder.path / "other"
    flags = [*folder.files[:4], "--config", str(strict), "--output", str(output), "--gate"]
    found = CliRunner().invoke(train, flags)
    assert isinstance(found.exception, InputError) and "codebooks refused" in str(found.exception)
    assert not output.exists()
