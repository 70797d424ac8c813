"""`h2rec pipeline run`, several times on one root: all nodes, cache, gate, bad input, and a push that stands alone."""

from __future__ import annotations

import html
import json
import pathlib
import re
import shutil

import click
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from h2rec_tf.cli.data import data
from h2rec_tf.errors import H2RecError, InputError
from tfx_pipeline.cli import NotBlessedError, pipeline
from tfx_pipeline.components.pusher import newest_version

CONFIG = """
text: {dimensions: 16}
quantizer: {levels: 2, codes: 8, iterations: 5}
codebooks: {max_collision_rate: 1.0}
model: {hidden_size: 8, layers: 1, max_length: 10}
training: {epochs: 1, min_epoch_steps: 0, batch_size: 256, validation_users: 100}
"""
# A model of one epoch beats nobody.
NO_BASELINES = "gate: {baselines: []}"
NODES = 15


class Runs:
    """Runs the command on one root and one pair of files."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.root = folder / "root"
        made = CliRunner().invoke(data, ["synthesize", str(folder / "files"), "--items", "200", "--users", "300"])
        assert made.exit_code == 0, made.output
        self.interactions = folder / "files" / "interactions.csv.gz"

    def run(self, config: str, *flags: str) -> Result:
        path = self.folder / "config.yaml"
        path.write_text(CONFIG + config)
        arguments = ["run", "--interactions", str(self.interactions), "--items", str(self.folder / "files/items.jsonl")]
        arguments += ["--root", str(self.root), "--config", str(path), *flags]
        return CliRunner().invoke(pipeline, arguments)

    @property
    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "serving").iterdir())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def first(runs: Runs) -> Result:
    return runs.run(NO_BASELINES)


FIRST = "gate: no model was blessed before this one, so gate.max_relative_drop compared nothing"


def _without_report(stdout: str) -> list[str]:
    """Its artifact is a new one in each run, and only the first run has no earlier model."""
    return [line for line in stdout.splitlines() if not line.startswith("report in ") and line != FIRST]


def raised(result: Result, kind: type[H2RecError]) -> H2RecError:
    assert isinstance(result.exception, kind), result.exception
    return result.exception


def test_first_run_trains_measures_and_pushes(runs: Runs, first: Result) -> None:
    assert first.exception is None, first.exception
    assert first.stderr.count(" s\n") == NODES + 1
    rows = {line.split()[0]: line.split()[1:] for line in first.stdout.splitlines()}
    assert rows["slice"] == ["users", "hr@5", "hr@10", "hr@20", "mrr", "ndcg@5", "ndcg@10", "ndcg@20"]
    assert int(rows["overall"][0]) == 300 == int(rows["head"][0]) + int(rows["tail"][0])
    assert newest_version(str(runs.root / "serving")) in first.stdout
    (report,) = re.findall(r"report in (.*)", first.stdout)
    page = pathlib.Path(report).read_text()
    # Its table holds the Evaluator's figures, and every part has something to show.
    assert f"<td>overall</td><td>300</td><td>{rows['overall'][6]}</td>" in page
    assert "Not blessed" not in page
    for part in ("Learning curves", "Popularity", "Use of codes", "Granularity gate"):
        assert f'alt="{part}"' in page
    items = [json.loads(line) for line in (runs.folder / "files" / "items.jsonl").read_text().splitlines()]
    titles = {html.escape(item["title"]) for item in items}
    lists = page.partition("Example recommendations")[2]
    shown = re.findall(r"<li>(?:<strong>)?(.*?)(?:</strong>)?</li>", lists)
    assert len(shown) == 30 and set(shown) <= titles


def test_pushed_model_answers_without_the_artifacts(runs: Runs, first: Result, tmp_path: pathlib.Path) -> None:
    moved = shutil.copytree(newest_version(str(runs.root / "serving")), tmp_path / "1")
    hidden = runs.root.with_name("hidden")
    runs.root.rename(hidden)
    try:
        model = tf.saved_model.load(str(moved))
        answer = model.signatures["serving_default"](
            history=tf.constant([["no such item"]]), k=tf.constant(5), exclude=tf.zeros([1, 0], tf.string)
        )
        items = answer["item_ids"].numpy()[0].tolist()
        titles = model.signatures["item_titles"](item_ids=tf.constant(items))["titles"].numpy()
    finally:
        hidden.rename(runs.root)
    assert len(set(items)) == 5
    assert all(titles)


def test_second_run_reuses_everything_but_the_comparison(runs: Runs, first: Result) -> None:
    before = runs.versions
    second = runs.run(NO_BASELINES)
    assert second.exception is None, second.exception
    # The baseline is new, as there was none at first; the resolver and the pusher always run.
    timed = [line.split()[1] for line in second.stderr.splitlines() if line.startswith("[") and line.endswith(" s")]
    assert set(timed) == {"BaselineResolver", "WarmStartResolver", "Evaluator", "ReportGen", "Pusher"}
    assert second.stderr.count("cached") == NODES - 5
    assert _without_report(second.stdout) == _without_report(first.stdout)
    assert FIRST in first.stdout and FIRST not in second.stdout
    assert runs.versions == before


def test_a_model_below_the_gate_or_with_a_bad_index_is_not_pushed(runs: Runs, first: Result) -> None:
    before = runs.versions
    limits = "gate: {baselines: [], min_ndcg_at_10: 0.99, slices: {tail: {min_ndcg_at_10: 0.9}}}\n"
    limits += "index: {max_p99_ms: 0.000001}"
    result = runs.run(limits)
    error = raised(result, NotBlessedError)
    assert re.search(r"overall ndcg@10 is 0\.0\d+, below 0\.9900; tail ndcg@10 is 0\.\d+, below 0\.9000", str(error))
    assert re.search(r"index: p99 of a query \S+ ms is above 1e-06", str(error))
    assert error.exit_code == 3
    assert result.stdout.startswith("slice")
    assert runs.versions == before


def test_a_model_that_does_not_beat_the_baselines_is_not_pushed(runs: Runs, first: Result) -> None:
    """The one trained above, by the defaults: only what judges runs again."""
    before = runs.versions
    result = runs.run("")
    error = raised(result, NotBlessedError)
    reason = re.search(r"overall ndcg@10 0\.\d+ does not beat the baseline item_knn, 0\.\d+", str(error))
    assert reason and error.exit_code == 3
    assert "\ngate: does not beat item_knn: ndcg@10 0." in result.stdout
    assert re.search(r"\] Trainer \.\.\. cached", result.stderr)
    assert runs.versions == before
    (report,) = re.findall(r"report in (.*)", result.stdout)
    page = pathlib.Path(report).read_text()
    assert "Not blessed" in page and f"<li>{reason.group()}" in page and "<li>does not beat item_knn: " in page
    shown = CliRunner().invoke(pipeline, ["status", "--root", str(runs.root)])
    assert re.search(rf"Evaluator: not blessed: .*{re.escape(reason.group())}", shown.stdout)
    card = json.loads(
        (pathlib.Path(newest_version(str(runs.root / "serving"))) / "assets.extra/model_card.json").read_text()
    )
    assert card["baselines"]["lines"] == ["not compared with any baseline (gate.baselines is empty)"]


def test_bad_input_names_component_file_and_column(runs: Runs, first: Result) -> None:
    result = runs.run(NO_BASELINES, "--timestamp-column", "when")
    error = raised(result, InputError)
    assert "InteractionExampleGen: " in str(error)
    assert "interactions.csv.gz" in str(error)
    assert "when" in str(error)
    assert "\n" not in str(error)


def test_a_missing_file_leaves_nothing_behind(runs: Runs, tmp_path: pathlib.Path) -> None:
    arguments = ["run", "--interactions", "nowhere.csv", "--items", "items.csv", "--root", str(tmp_path / "root")]
    result = CliRunner().invoke(pipeline, arguments)
    assert "nowhere.csv" in str(raised(result, InputError))
    assert not (tmp_path / "root").exists()


def test_help_is_light() -> None:
    assert isinstance(pipeline, click.Group)
    assert "--interactions" in CliRunner().invoke(pipeline, ["run", "--help"]).output
