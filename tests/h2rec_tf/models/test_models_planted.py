"""The paper's claim in miniature, on planted data that only both kinds of ID together predict well.

After a head item one of its own followers comes next, which only identity tells; after a tail item something of the
following topic comes, which only the text tells. Slow: nine trainings of 300 steps.
"""

from __future__ import annotations

import numpy as np
import pytest

from h2rec_tf import names
from h2rec_tf.config import Config
from h2rec_tf.data.synthetic import planted_dataset
from h2rec_tf.evaluation import evaluate
from h2rec_tf.models.vector_recommender import VectorRecommender
from h2rec_tf.semantic_ids import build_semantic_ids
from h2rec_tf.training.configured import train_configured

SEEDS = (0, 1, 2)
SLICES = (names.OVERALL, names.HEAD, names.TAIL)
# One setting for all three models. Hash IDs start at random: text reaches a model through its semantic IDs alone.
SETTINGS = {
    "model.hid_start": "random",
    "model.hidden_size": 32,
    "model.layers": 1,
    "model.max_length": 20,
    "quantizer.levels": 3,
    "quantizer.codes": 32,
    "training.learning_rate": 3e-3,
    "training.max_steps": 300,
    "training.epochs": 100,
    "training.patience": 100,
}


def _ndcg(branches: str, seed: int) -> list[float]:
    """Test NDCG@10, full ranking, of each slice."""
    data = planted_dataset(seed=seed)
    config = Config().replace(**SETTINGS, **{"model.branches": branches, "training.seed": seed})
    semantic_ids = build_semantic_ids(data.catalogue, quantizer=config.quantizer, seed=seed)
    result = train_configured(config, semantic_ids, data.train, data.validation)
    recommender = VectorRecommender(result.model, max_length=config.model.max_length, popularity=data.popularity)
    measured = evaluate(recommender, data.test, popularity=data.popularity, ks=(10,))
    return [measured.metric("ndcg@10", name) for name in SLICES]


@pytest.mark.slow
def test_both_kinds_of_id_beat_either_one_without_a_seesaw() -> None:
    measured = {branches: np.asarray([_ndcg(branches, seed) for seed in SEEDS]) for branches in ("hid", "sid", "dual")}
    means = {branches: dict(zip(SLICES, values.mean(axis=0), strict=True)) for branches, values in measured.items()}
    print({branches: {name: round(value, 4) for name, value in slices.items()} for branches, slices in means.items()})
    hid, sid, dual = means["hid"], means["sid"], means["dual"]
    assert dual[names.OVERALL] > hid[names.OVERALL]
    assert dual[names.OVERALL] > sid[names.OVERALL]
    for column, name in enumerate(SLICES):
        single = "hid" if hid[name] > sid[name] else "sid"
        differences = measured["dual"][:, column] - measured[single][:, column]
        # Two standard errors over the seeds, which share data and quantizer between models.
        noise = 2.0 * differences.std(ddof=1) / np.sqrt(len(SEEDS))
        assert differences.mean() > -noise, f"{name}: {dual[name]:.4f} against {single} {means[single][name]:.4f}"
    # The data set is as planted: neither kind of ID is the better one everywhere.
    assert hid[names.HEAD] > sid[names.HEAD]
    assert sid[names.TAIL] > hid[names.TAIL]
