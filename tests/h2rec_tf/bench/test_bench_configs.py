"""Every configuration and search space in the repository works on toy data."""

import pathlib

import numpy as np
import pytest
from support import item_parts, random_sequences

from h2rec_tf.bench.configurations import read_configuration
from h2rec_tf.config import Config
from h2rec_tf.models.build import build_model
from h2rec_tf.models.floors import make_floor
from h2rec_tf.tuning.space import SearchSpace

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"
MODELS = [*sorted(CONFIGS.glob("*.yaml")), *sorted(CONFIGS.glob("tuned/*/*.yaml"))]
# Search space -> a configuration it is meant for.
SPACES = {
    "item-knn": "item-knn",
    "knn-text-blend": "knn-text-blend",
    "one-branch": "sasrec-hid",
    "one-branch-dot": "sasrec-hid-dot",
    "text-neighbours": "text-neighbours",
    "two-branches": "h2rec",
}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_model_is_built_and_scores(path):
    config = read_configuration(str(path), Config()).config
    train, parts = random_sequences(), item_parts()
    histories = np.asarray([[0, 0, 3], [1, 2, 3]], np.int32)
    if config.floor.kind != "none":
        floor = make_floor(config.floor, train=train, vectors=parts["vectors"])
        padded = np.zeros((2, floor.max_length), np.int32)
        padded[:, -min(3, floor.max_length) :] = histories[:, -min(3, floor.max_length) :]
        assert floor.scores(floor.queries(padded), 1, 41).shape == (2, 40)
        return
    # Narrow and short: what is tested is that the parts fit together.
    small = config.replace(**{"model.hidden_size": 8, "model.max_length": 8})
    model = build_model(model=small.model, loss=small.loss, train=train, seed=0, **parts)
    assert np.isfinite(model.compute_loss(histories)).all()
    scores = model.user_vectors(histories).numpy() @ model.item_table().numpy().T
    assert scores.shape == (2, 41) and np.isfinite(scores).all()


def test_every_file_says_in_its_first_line_what_it_is():
    for path in CONFIGS.rglob("*.yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# ") and first.endswith("."), path


def test_every_space_holds_the_start_of_the_search():
    assert set(SPACES) == {path.stem for path in (CONFIGS / "spaces").glob("*.yaml")}
    for space, model in SPACES.items():
        config = read_configuration(str(CONFIGS / f"{model}.yaml"), Config()).config
        assert SearchSpace.load(str(CONFIGS / "spaces" / f"{space}.yaml"), config).start(config) is not None, space


def test_data_settings_are_valid():
    for path in (CONFIGS / "data").glob("*.yaml"):
        assert Config.load(str(path)) != Config()
