"""The results file survives kills, and the numbers made of it are right."""

import json
import math

import numpy as np
import pytest

from h2rec_tf.bench.records import append_record, read_records
from h2rec_tf.bench.significance import holm, paired_tests
from h2rec_tf.bench.summary import Figure, comparisons
from h2rec_tf.bench.tables import all_tables, cell
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError


def record(model="a", config_hash="1", data_hash="d", seed=0, **more):
    return {"model": model, "config_hash": config_hash, "data_hash": data_hash, "seed": seed, "dataset": "toy", **more}


@pytest.mark.parametrize("torn", ["", '{"model": "b", "con', '{"model": "b"}', "\n"])
def test_a_torn_last_line_is_passed_over_and_cut_off_by_the_next_one(tmp_path, torn):
    path = tmp_path / "deep" / "results.jsonl"
    append_record(path, record())
    with open(path, "a") as file:
        file.write(torn)
    assert read_records(path) == [record()]
    append_record(path, record(seed=1))
    assert read_records(path) == [record(), record(seed=1)]
    assert [json.loads(line) for line in path.read_text().splitlines() if line] == [record(), record(seed=1)]


def test_a_whole_last_line_without_a_line_break_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(record()))
    assert read_records(path) == [record()]
    append_record(path, record(seed=1))
    assert read_records(path) == [record(), record(seed=1)]


def test_other_lines_that_are_no_results_are_named(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("{}\n" + json.dumps(record()) + "\n")
    with pytest.raises(InputError, match=r"results.jsonl:1: not a result"):
        read_records(path)
    assert read_records(tmp_path / "absent.jsonl") == []


def test_figures_are_mean_and_sample_deviation():
    figure = Figure.of([0.1, None, 0.3])
    assert figure.mean == pytest.approx(0.2)
    assert figure.spread == pytest.approx(math.sqrt(0.02))
    assert cell(figure, ".4f") == "0.2000 ± 0.1414"
    assert cell(Figure.of([0.5]), ".2f") == "0.50"
    assert cell(Figure.of([None]), ".2f") == "-"
    assert cell(Figure.of([1000, 1000]), ",.0f") == "1,000"


def test_a_model_is_shown_with_its_newest_configuration():
    more = {"config": Config().to_dict(), "results": {"seen excluded": {}}}
    rows = [
        record("a", "old", seed=0, **more),
        record("b", "other", seed=0, **more),
        record("a", "new", seed=1, **more),
        record("a", "new", seed=0, **more),
        record("a", "old", data_hash="e", **more),
    ]
    first, second = comparisons(rows)
    assert [model.name for model in first.models] == ["a", "b"]
    assert [(one["config_hash"], one["seed"]) for one in first.models[0].records] == [("new", 0), ("new", 1)]
    assert [one["config_hash"] for one in second.models[0].records] == ["old"]
    with pytest.raises(InputError, match="no finished run"):
        comparisons([])


def measured(model: str, value: float, *protocols: str, **more) -> dict:
    """A record with NDCG@10 and HR@10 of one value under each protocol, a tenth more for each next one."""
    results = {}
    for number, protocol in enumerate(protocols):
        metrics = {"users": 8, "hr@10": value + number / 10, "ndcg@10": value + number / 10}
        lists = {"coverage@10": 0.5, "novelty@10": 9.0}
        slices = dict.fromkeys(("overall", "head", "tail", "cold"), metrics)
        results[protocol] = {"protocol": protocol, "lists": lists, "slices": slices}
    training = {"validation_ndcg@10": value, "seconds": 1.0}
    return record(model, model, config=Config().to_dict(), results=results, training=training, parameters=0, **more)


def test_figures_of_two_protocols_never_share_a_column():
    earlier = measured("earlier", 0.6, "full", "full, seen excluded")
    now = measured("now", 0.2, "seen excluded", "seen items compete", protocol="seen excluded")
    (comparison,) = comparisons([earlier, now])
    tables = {table.title: table for table in all_tables(comparison, None)}
    assert list(tables)[:5] == [
        "Full ranking, seen excluded",
        "Head and tail, seen excluded",
        "Head and tail, seen items compete, equals against the target",
        "Head and tail, seen excluded, repeats compete, equals against the target",
        "Head and tail, seen items compete",
    ]
    shown = {title: {row[0]: row[1] for row in table.rows} for title, table in list(tables.items())[:5]}
    assert [list(shown[title].values()) for title in list(tables)[:5]] == [
        ["-", "0.2000"],
        ["-", "0.2000"],
        ["0.6000", "-"],
        ["0.7000", "-"],
        ["-", "0.3000"],
    ]
    place = tables["Cost"].header.index("validation NDCG@10")
    assert [row[place] for row in tables["Cost"].rows] == ["-", "0.2000"]
    # Ranks that were saved under another protocol are not compared, and do not make a model the best.
    assert comparison.best(("h2rec",)).name == "now"
    (alone,) = comparisons([earlier])
    assert alone.headline == "seen items compete, equals against the target"
    assert alone.models[0].validation().mean == 0.6


def test_permutation_test_equals_all_sign_patterns():
    rng = np.random.default_rng(0)
    differences = np.r_[rng.normal(0.4, 1.0, 10), np.zeros(5)]
    signs = np.asarray(np.meshgrid(*[[-1, 1]] * 10)).reshape(10, -1)
    means = np.abs(signs.T @ differences[:10])
    exact = np.mean(means >= abs(differences.sum()) - 1e-12)
    (test,) = paired_tests(differences[:, None], resamples=20_000)
    assert 0.05 < exact < 0.95
    assert test.p == pytest.approx(exact, abs=0.012)
    assert test.difference == pytest.approx(differences.mean())


def test_the_bootstrap_interval_has_the_width_of_the_normal_approximation():
    differences = np.random.default_rng(1).normal(0.02, 0.3, (4000, 1))
    (test,) = paired_tests(differences, resamples=4000)
    half = 1.96 * differences.std() / math.sqrt(4000)
    assert test.low == pytest.approx(differences.mean() - half, abs=half / 8)
    assert test.high == pytest.approx(differences.mean() + half, abs=half / 8)


def test_no_difference_is_not_significant_and_a_clear_one_is():
    rng = np.random.default_rng(2)
    differences = np.stack([np.zeros(500), rng.choice([0.0, 0.0, 1.0], 500), rng.choice([-1.0, 1.0], 500)], axis=1)
    none, clear, noise = paired_tests(differences, resamples=2000)
    assert (none.p, none.difference, none.low, none.high) == (1.0, 0.0, 0.0, 0.0)
    assert clear.p == pytest.approx(1 / 2001) and clear.low > 0
    assert noise.p > 0.01


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == pytest.approx([1.0, 1.0])
