"""`h2rec bench quality` end to end on toy data: two models, two seeds."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner
from support import tiny_config, tiny_dataset

from h2rec_tf.bench.configurations import NamedConfiguration, configuration_hash, read_configurations
from h2rec_tf.bench.prepared import PreparedData, Splits, data_hash
from h2rec_tf.bench.quality import run_quality
from h2rec_tf.bench.report import render
from h2rec_tf.cli.main import cli
from h2rec_tf.config import Config
from h2rec_tf.errors import H2RecError, InputError
from h2rec_tf.evaluation import Protocol, evaluate

TINY = {"training.max_steps": 4, "training.epochs": 1}


def configurations():
    return [
        NamedConfiguration("popularity", tiny_config(**{"floor.kind": "popularity"})),
        NamedConfiguration("h2rec", tiny_config(**TINY)),
    ]


def run(models, dataset, output, *, seeds, say=str):
    return run_quality(models, dataset, seeds=seeds, output=str(output), dataset_name="toy", own_process=False, say=say)


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, dataset):
    output, lines = tmp_path_factory.mktemp("bench"), []
    records = run(configurations(), dataset, output, seeds=[0, 3], say=lines.append)
    return output, records, lines


def test_every_model_ran_with_every_seed_and_a_floor_once(finished):
    _, records, _ = finished
    assert [(record["model"], record["seed"]) for record in records] == [
        ("popularity", 0),
        ("h2rec", 0),
        ("h2rec", 3),
    ]
    assert len({record["config_hash"] for record in records}) == 2
    for record in records:
        assert record["peak_memory_mb"] > 50
        assert record["environment"]["versions"]["tensorflow"]
        assert record["config"]["training"]["seed"] == record["seed"]
    trained = records[1]
    assert trained["training"]["best_epoch"] == 1 and trained["parameters"] > 1000
    # Cold items are placed after the last epoch, on validation users, and cost next to nothing there.
    assert trained["training"]["history"][0]["ndcg@10"] <= trained["training"]["validation_ndcg@10"] * 1.01
    assert len(trained["gate"]["weights"][0]) == 3 and sum(trained["gate"]["weights"][0]) == pytest.approx(1, abs=1e-5)
    assert sum(trained["codebook"]["usage"][0]) == len(tiny_dataset().catalogue)
    assert records[1]["results"]["seen excluded"] != records[2]["results"]["seen excluded"]


@pytest.mark.parametrize("protocol", [Protocol("exclude"), Protocol("include"), Protocol("repeats")])
def test_figures_are_those_of_evaluate(finished, dataset, protocol):
    from h2rec_tf.models.popularity import Popularity

    output, records, _ = finished
    expected = evaluate(Popularity(dataset.popularity), dataset.test, popularity=dataset.popularity, protocol=protocol)
    found = records[0]["results"][protocol.name]
    for slice_name, values in expected.to_dict()["slices"].items():
        measured = {name: value for name, value in values.items() if value is not None}
        assert {name: found["slices"][slice_name][name] for name in measured} == pytest.approx(measured), slice_name
    assert found["lists"] == pytest.approx(expected.to_dict()["lists"], rel=1e-6)
    if protocol.name == records[0]["protocol"]:
        with np.load(output / records[0]["ranks"]) as file:
            np.testing.assert_array_equal(file["ranks"], expected.ranks)


def test_what_is_there_is_not_run_again(finished, dataset):
    output, records, _ = finished
    before, lines = (output / "results.jsonl").read_bytes(), []
    again = run(configurations(), dataset, output, seeds=[0, 3], say=lines.append)
    assert again == records
    assert (output / "results.jsonl").read_bytes() == before
    assert [line.rpartition(": ")[2] for line in lines] == ["done before"] * 3


def test_an_equal_configuration_of_another_name_takes_the_figures(finished, dataset, tmp_path):
    output, records, _ = finished
    (tmp_path / "results.jsonl").write_bytes((output / "results.jsonl").read_bytes())
    same = NamedConfiguration("same", configurations()[1].config)
    for _ in range(2):
        (record,) = run([same], dataset, tmp_path, seeds=[3])
        assert record == records[2] | {"model": "same"}
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 4


def test_a_failing_run_does_not_stop_the_others_and_is_told(dataset, tmp_path):
    bad = NamedConfiguration("bad", tiny_config(**{"model.heads": 3}))
    with pytest.raises(H2RecError, match=r"1 of 2 runs failed.*bad, seed 0.*multiple of `model\.heads`"):
        run([bad, configurations()[0]], dataset, tmp_path, seeds=[0])
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1


def test_a_run_in_its_own_process_gives_the_same_figures(finished, dataset, tmp_path):
    _, records, _ = finished
    (record,) = run_quality(configurations()[:1], dataset, seeds=[0], output=str(tmp_path), dataset_name="toy", say=str)
    for part in ("results", "config_hash", "data_hash", "parameters"):
        assert record[part] == records[0][part]
    # What this process holds does not count: the tests' own memory grows with every test.
    assert 100 < record["peak_memory_mb"] < 900


def test_report_has_every_table_and_stands_alone(finished, tmp_path):
    output, records, _ = finished
    (tables,) = render(str(output / "results.jsonl"), str(tmp_path)).values()
    titles = [table.title for table in tables]
    assert titles[:4] == [
        "Full ranking, seen excluded",
        "Head and tail, seen excluded",
        "Head and tail, seen items compete",
        "Head and tail, seen excluded, repeats compete",
    ]
    assert titles[-1] == "Significance"
    markdown, page = (tmp_path / "tables.md").read_text(), (tmp_path / "index.html").read_text()
    ndcg = [record["results"]["seen excluded"]["slices"]["overall"]["ndcg@10"] for record in records]
    mean, spread = np.mean(ndcg[1:]), np.std(ndcg[1:], ddof=1)
    for text in (f"{ndcg[0]:.4f}", f"{mean:.4f} ± {spread:.4f}", *titles):
        assert text in markdown and text in page
    assert 'src="http' not in page and page.count("data:image/png;base64") == 5
    for name in ("head-tail", "popularity", "learning-curves", "codebooks", "gate"):
        assert (tmp_path / f"toy-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"(toy-{name}.png)" in markdown
    first = (tmp_path / "toy-head-tail.png").read_bytes()
    render(str(output / "results.jsonl"), str(tmp_path))
    assert (tmp_path / "toy-head-tail.png").read_bytes() == first


def test_report_without_ranks_has_no_significance_and_a_wrong_baseline_is_refused(finished, tmp_path):
    output, _, _ = finished
    with pytest.raises(InputError, match="no model nobody on toy; there are popularity, h2rec"):
        render(str(output / "results.jsonl"), str(tmp_path / "page"), baseline="nobody")
    (tmp_path / "results.jsonl").write_bytes((output / "results.jsonl").read_bytes())
    (tables,) = render(str(tmp_path / "results.jsonl"), str(tmp_path / "page")).values()
    assert "Significance" not in [table.title for table in tables]


def test_splits_and_semantic_ids_are_kept_by_content(dataset, tmp_path):
    prepared = PreparedData(dataset, str(tmp_path))
    loaded = Splits.load(prepared.splits())
    np.testing.assert_array_equal(loaded.popularity, dataset.popularity)
    for name in ("validation", "test"):
        ours, theirs = getattr(loaded, name), getattr(dataset, name)
        np.testing.assert_array_equal(ours.targets, theirs.targets)
        np.testing.assert_array_equal(ours.histories.items, theirs.histories.items)
        np.testing.assert_array_equal(ours.histories.offsets, theirs.histories.offsets)
    config = tiny_config()
    built = prepared.semantic_ids(config, seed=0)
    assert prepared.semantic_ids(config.replace(**{"model.layers": 2}), seed=0) == built
    others = [
        prepared.semantic_ids(config, seed=1),
        prepared.semantic_ids(tiny_config(**{"quantizer.codes": 5}), seed=0),
    ]
    assert len({built, *others}) == 3
    changed = dataclasses.replace(dataset, validation=dataset.test)
    assert data_hash(changed) != prepared.hash == data_hash(tiny_dataset())


def test_the_hash_covers_what_changes_figures_and_nothing_else():
    base = Config()
    same = [{"training.seed": 4}, {"serving.max_k": 5}, {"gate.min_ndcg_at_10": 0.1}, {"floor.text_weight": 0.5}]
    other = [
        {"training.batch_size": 64},
        {"model.layers": 1},
        {"loss.negatives": 3},
        {"evaluation.seed": 1},
        {"serving.seen": "include"},
    ]
    assert {configuration_hash(base.replace(**change)) for change in same} == {configuration_hash(base)}
    assert len({configuration_hash(base.replace(**change)) for change in other}) == 5
    floor = base.replace(**{"floor.kind": "item_knn"})
    assert configuration_hash(floor.replace(**{"model.layers": 1})) == configuration_hash(floor)
    assert configuration_hash(floor.replace(**{"floor.item_knn.shrink": 1.0})) != configuration_hash(floor)


def test_configuration_files_are_checked(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.yaml").write_text("model: {layers: 1}\n")
    one, two = str(tmp_path / "one" / "a.yaml"), str(tmp_path / "two" / "a.yaml")
    shared = Config().replace(**{"evaluation.head_fraction": 0.3})
    (found,) = read_configurations([one], shared)
    assert (found.name, found.config.model.layers, found.config.evaluation.head_fraction) == ("a", 1, 0.3)
    with pytest.raises(InputError, match="more than one file is called a"):
        read_configurations([one, two], shared)
    (tmp_path / "two" / "a.yaml").write_text("evaluation: {ks: [1]}\n")
    with pytest.raises(InputError, match="`evaluation` must be the same for all models"):
        read_configurations([two], shared)
    (tmp_path / "two" / "a.yaml").write_text("model: {layer: 1}\n")
    with pytest.raises(InputError, match=r"a\.yaml: config: unknown key `model\.layer`; did you mean `layers`"):
        read_configurations([two], shared)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "MODEL"], "name the data: --data DIR, or --interactions FILE and --items FILE"),
        (["--models", "MODEL", "--data", "absent"], "--data absent: no such folder"),
        (["--models", "MODEL", "--data", "EMPTY"], "no interactions file"),
        (["--models", "MODEL", "--data", "EMPTY", "--interactions", "x.csv"], "no items file"),
        (["--models", "absent.yaml", "--interactions", "x", "--items", "y"], "absent.yaml: no such config file"),
        (["--models", "MODEL", "--interactions", "x", "--items", "y", "--seeds", "a"], "--seeds: give whole numbers"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.yaml").write_text("")
    places = {"MODEL": str(tmp_path / "model.yaml"), "EMPTY": str(tmp_path / "empty")}
    arguments = [places.get(word, word) for word in arguments]
    result = CliRunner().invoke(cli, ["bench", "quality", "--output", str(tmp_path / "out"), *arguments])
    assert result.exit_code != 0
    assert message in result.output + str(result.exception)
    assert not (tmp_path / "out").exists()


def test_render_command(finished, tmp_path):
    output, _, _ = finished
    arguments = ["bench", "render", "--results", str(output / "results.jsonl"), "--output", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "tables of 1 data sets" in result.output and (tmp_path / "index.html").is_file()
    line = json.loads((output / "results.jsonl").read_text().splitlines()[0])
    assert line["model"] == "popularity"
