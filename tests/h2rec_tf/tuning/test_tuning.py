"""The search: budget, pruning, resuming, and what it leaves."""

import sys

import pytest
from support import tiny_config, tiny_dataset

from h2rec_tf.bench.configurations import read_configuration
from h2rec_tf.config import Config
from h2rec_tf.errors import H2RecError, InputError, MissingDependencyError
from h2rec_tf.models.floors import make_floor
from h2rec_tf.semantic_ids import build_semantic_ids
from h2rec_tf.training import loop
from h2rec_tf.tuning import SearchSpace, tune

FLOOR = Config().replace(**{"floor.kind": "item_knn"})
FLOOR_SPACE = {
    "floor.item_knn.window": {"low": 1, "high": 6},
    "floor.item_knn.shrink": {"low": 1.0, "high": 100.0, "log": True},
    "floor.item_knn.last": [1, 3, 10],
}


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="module")
def semantic_ids(dataset):
    config = tiny_config()
    return build_semantic_ids(dataset.catalogue, text=config.text, quantizer=config.quantizer)


def search(dataset, output, semantic_ids, *, config=FLOOR, space=None, **options):
    return tune(
        config,
        SearchSpace.from_dict(FLOOR_SPACE if space is None else space, config),
        train=dataset.train,
        validation=dataset.validation,
        semantic_ids=semantic_ids if callable(semantic_ids) else lambda tried: semantic_ids,
        output=str(output),
        **{"trials": 8, **options},
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory, dataset, semantic_ids):
    output = tmp_path_factory.mktemp("search")
    return output, search(dataset, output, semantic_ids)


def _trials(output):
    """Trials as written, without their seconds."""
    rows = [line.split(",") for line in (output / "trials.csv").read_text().splitlines()]
    return [row[:5] + row[6:] for row in rows]


def test_the_best_trial_is_what_is_reported_and_written(searched, dataset, semantic_ids):
    from h2rec_tf.evaluation import evaluate

    output, result = searched
    header, *rows = _trials(output)
    assert result.trials == len(rows) == 8
    assert header[:4] == ["trial", "ndcg@10", "state", "epochs"] and header[-1] == "floor.item_knn.last"
    assert result.ndcg_at_10 == pytest.approx(max(float(row[1]) for row in rows), abs=1e-5)
    # The first trial is the model as it was.
    assert rows[0][-3:] == ["3", "10", "10"]
    best = read_configuration(str(output / "best.yaml"), Config()).config
    assert best == result.config
    again = evaluate(
        make_floor(best.floor, train=dataset.train, vectors=semantic_ids.vectors),
        dataset.validation,
        popularity=dataset.popularity,
    )
    assert again.metric("ndcg@10") == pytest.approx(result.ndcg_at_10)


def test_a_killed_search_goes_on_to_the_same_result(searched, dataset, semantic_ids, tmp_path):
    calls = []

    def killed_in_the_third_trial(config):
        calls.append(config)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return semantic_ids

    with pytest.raises(KeyboardInterrupt):
        search(dataset, tmp_path, killed_in_the_third_trial)
    assert len(_trials(tmp_path)) == 3
    result = search(dataset, tmp_path, killed_in_the_third_trial)
    output, whole = searched
    assert calls[3] == calls[2]
    assert _trials(tmp_path) == _trials(output)
    assert (result.values, result.ndcg_at_10) == (whole.values, whole.ndcg_at_10)
    # Finished: a third call runs nothing more.
    search(dataset, tmp_path, killed_in_the_third_trial)
    assert len(calls) == 9


def test_another_search_in_the_same_folder_is_refused(searched, dataset, semantic_ids):
    output, _ = searched
    with pytest.raises(InputError, match="holds a search with another model, space, seed or data"):
        search(dataset, output, semantic_ids, seed=1)


@pytest.fixture
def scripted(monkeypatch, semantic_ids):
    """Training that follows `curve(config)` instead of learning; gives the list of (layers, epoch) that ran."""
    ran = []

    def use(curve):
        def train_configured(config, ids, train, validation, *, on_epoch, progress):
            values = curve(config)
            for epoch, value in enumerate(values, 1):
                ran.append((config.model.layers, epoch))
                on_epoch(epoch, {"ndcg@10": value})
            return loop.TrainingResult(None, 1, max(values), [], 0.0)

        monkeypatch.setattr("h2rec_tf.tuning.search.train_configured", train_configured)
        return ran

    return use


def test_a_trial_far_behind_is_pruned_and_never_the_best(scripted, dataset, semantic_ids, tmp_path):
    # The lower the dropout, the better from the first epoch on.
    ran = scripted(lambda config: [(1.0 - config.model.dropout) * epoch / 6 for epoch in range(1, 7)])
    space = {"model.dropout": {"low": 0.0, "high": 0.9}}
    result = search(dataset, tmp_path, semantic_ids, config=Config(), space=space, trials=9)
    rows = _trials(tmp_path)[1:]
    complete = [row for row in rows if row[2] == "complete"]
    pruned = [row for row in rows if row[2] == "pruned"]
    assert len(complete) + len(pruned) == 9 and pruned
    assert result.ndcg_at_10 == pytest.approx(max(float(row[1]) for row in complete), abs=1e-4)
    assert result.values["model.dropout"] == pytest.approx(min(float(row[-1]) for row in complete), rel=1e-3)
    # Pruning waits for some epochs, and saves the others.
    assert all(2 < int(row[3]) < 6 for row in pruned)
    assert len(ran) == sum(int(row[3]) for row in rows)


def test_minutes_end_a_trial_with_its_epoch_and_then_the_search(scripted, dataset, semantic_ids, tmp_path):
    ran = scripted(lambda config: [0.3, 0.2, 0.9])
    space = {"model.layers": [1, 2, 3]}
    result = search(dataset, tmp_path, semantic_ids, config=Config(), space=space, trials=9, minutes=1e-9)
    assert ran == [(2, 1)]
    assert (result.trials, result.ndcg_at_10) == (1, 0.3)


def test_a_trial_that_fails_counts_and_is_told_if_all_do(scripted, dataset, semantic_ids, tmp_path):
    def curve(config):
        if config.model.layers == 2:
            raise H2RecError("the loss is nan")
        return [0.5]

    scripted(curve)
    result = search(dataset, tmp_path / "a", semantic_ids, config=Config(), space={"model.layers": [1, 2]}, trials=6)
    states = [row[2] for row in _trials(tmp_path / "a")[1:]]
    assert "fail" in states and result.values == {"model.layers": 1} and result.trials == 6
    with pytest.raises(H2RecError, match="no trial of 1 came to an end: the loss is nan"):
        search(dataset, tmp_path / "b", semantic_ids, config=Config(), space={"model.layers": [2, 1]}, trials=1)


def test_without_optuna_the_pip_command_is_given(dataset, semantic_ids, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'h2rec-tf\[tune\]'"):
        search(dataset, tmp_path, semantic_ids)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model.layer": [1]}, "unknown key `model.layer`"),
        ({"model.layers": [1, 0]}, "`model.layers` must be at least 1"),
        ({"model.layers": {"low": 3, "high": 3}}, "low < high"),
        ({"model.dropout": {"low": 0.0, "high": 0.5, "log": True}}, "low > 0 on a logarithmic scale"),
        ({"model.dropout": {"low": "a", "high": 0.5}}, "numbers as low and high"),
        ({"model.dropout": {"low": 0.0, "hi": 0.5}}, "must be a list of values or"),
        ({"training.seed": [1, 2]}, "cannot be searched"),
        ({"evaluation.head_fraction": [0.1]}, "cannot be searched"),
    ],
)
def test_spaces_are_checked(space, message):
    with pytest.raises(InputError, match=message):
        SearchSpace.from_dict(space, Config())


def test_space_files_name_themselves(tmp_path):
    (tmp_path / "space.yaml").write_text("model.layers: [0]\n")
    with pytest.raises(InputError, match=r"space\.yaml: config: `model\.layers`"):
        SearchSpace.load(str(tmp_path / "space.yaml"), Config())
    (tmp_path / "space.yaml").write_text("training.learning_rate: {low: 1e-4, high: 1e-2, log: true}\n")
    (dimension,) = SearchSpace.load(str(tmp_path / "space.yaml"), Config()).dimensions
    assert (dimension.low, dimension.high, dimension.log) == (1e-4, 1e-2, True)
    assert SearchSpace((dimension,)).start(Config().replace(**{"training.learning_rate": 0.5})) is None


def test_short_trials_leave_the_epochs_of_the_configuration(scripted, dataset, semantic_ids, tmp_path):
    ran = scripted(lambda config: [0.1 * config.model.layers] * config.training.epochs)
    config = tiny_config().replace(**{"training.epochs": 7})
    space = {"model.layers": [1, 2]}
    result = search(dataset, tmp_path, semantic_ids, config=config, space=space, trials=4, trial_epochs=2)
    assert len(ran) == 4 * 2
    assert result.config.training.epochs == 7
    assert read_configuration(str(tmp_path / "best.yaml"), Config()).config.training.epochs == 7
    # Trials of another length would be compared with those that are there.
    with pytest.raises(InputError, match="holds a search with another model"):
        search(dataset, tmp_path, semantic_ids, config=config, space=space, trials=4, trial_epochs=3)


def test_the_epochs_of_a_trial_are_either_given_or_searched(dataset, semantic_ids, tmp_path):
    space = {"training.epochs": [2, 3]}
    with pytest.raises(InputError, match=r"training\.epochs"):
        search(dataset, tmp_path, semantic_ids, config=tiny_config(), space=space, trial_epochs=2)
