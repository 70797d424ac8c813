"""Warm start: what is taken over from an earlier model, and when nothing is."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
from support import NUM_ITEMS, holdout_of, random_sequences, tiny_config, tiny_dataset

from h2rec_tf.config import Config
from h2rec_tf.data.sequences import Catalogue
from h2rec_tf.models.build import build_model
from h2rec_tf.models.h2rec import H2Rec
from h2rec_tf.models.store import TrainedModel
from h2rec_tf.semantic_ids import SemanticIds, build_semantic_ids
from h2rec_tf.training.configured import train_configured
from h2rec_tf.training.warm_start import warm_start

DATA = tiny_dataset()


def built(config: Config, semantic_ids: SemanticIds) -> H2Rec:
    return build_model(
        model=config.model,
        loss=config.loss,
        codes=semantic_ids.codes,
        codebooks=semantic_ids.codebooks,
        vectors=semantic_ids.vectors,
        train=random_sequences(num_items=len(semantic_ids)),
    )


@pytest.fixture(scope="module")
def earlier() -> TrainedModel:
    config = tiny_config()
    semantic_ids = build_semantic_ids(DATA.catalogue, quantizer=config.quantizer)
    model = built(config, semantic_ids)
    generator = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(generator.normal(0.0, 0.1, variable.shape))
    return TrainedModel(model, config, semantic_ids, DATA.popularity)


@pytest.fixture(scope="module")
def base(earlier: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = str(tmp_path_factory.mktemp("earlier") / "trained")
    earlier.save(directory)
    return directory


def changed_catalogue(semantic_ids: SemanticIds) -> SemanticIds:
    """The same codebooks over items 5.. in reverse order and three new ones."""
    keep = np.arange(NUM_ITEMS - 1, 4, -1)
    return dataclasses.replace(
        semantic_ids,
        item_ids=np.concatenate([["new-a"], semantic_ids.item_ids[keep], ["new-b", "new-c"]]).astype(object),
        codes=semantic_ids.codes[np.concatenate([[0], keep, [1, 2]])],
        vectors=semantic_ids.vectors[np.concatenate([[0], keep, [1, 2]])],
    )


def test_rows_follow_item_ids_and_the_rest_is_copied(earlier: TrainedModel, base: str) -> None:
    semantic_ids = changed_catalogue(earlier.semantic_ids)
    model = built(earlier.config, semantic_ids)
    start = model.hash_ids.embeddings.numpy()
    said = warm_start(model, config=earlier.config, semantic_ids=semantic_ids, base=base)
    assert said == (
        f"warm start: {NUM_ITEMS - 5} of {NUM_ITEMS - 2} items were in the earlier model's catalogue,"
        " which has 5 others"
    )
    rows, before = model.hash_ids.embeddings.numpy(), earlier.model.hash_ids.embeddings.numpy()
    place = {item_id: row for row, item_id in enumerate(earlier.semantic_ids.item_ids, start=1)}
    for row, item_id in enumerate(semantic_ids.item_ids, start=1):
        expected = before[place[item_id]] if item_id in place else start[row]
        np.testing.assert_array_equal(rows[row], expected)
    np.testing.assert_array_equal(rows[[0, -1]], before[[0, -1]])
    for now, then in zip(model.weights, earlier.model.weights, strict=True):
        if now.trainable and now is not model.hash_ids.embeddings:
            np.testing.assert_array_equal(now.numpy(), then.numpy(), err_msg=now.name)


def test_semantic_id_tables_need_equal_codebooks(earlier: TrainedModel, base: str) -> None:
    semantic_ids = dataclasses.replace(earlier.semantic_ids, codebooks=earlier.semantic_ids.codebooks + 1.0)
    model = built(earlier.config, semantic_ids)
    start = model.semantic_ids.embeddings.numpy()
    said = warm_start(model, config=earlier.config, semantic_ids=semantic_ids, base=base)
    assert f"{NUM_ITEMS} of {NUM_ITEMS} items" in said and "codebooks changed" in said
    np.testing.assert_array_equal(model.semantic_ids.embeddings.numpy(), start)
    np.testing.assert_array_equal(model.hash_ids.embeddings.numpy(), earlier.model.hash_ids.embeddings.numpy())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.hidden_size": 16}, "model.hidden_size"),
        ({"model.max_length": 9, "model.heads": 4}, "model.heads, model.max_length"),
        # Fewer variables: the user alignment has mask vectors.
        ({"loss.user_alignment": 0.0}, "variables"),
        ({"quantizer.codes": 3}, "`embeddings:0` has shape"),
    ],
)
def test_a_model_that_does_not_fit_starts_fresh_and_says_why(base: str, changes: dict[str, Any], said: str) -> None:
    config = tiny_config(**changes)
    semantic_ids = build_semantic_ids(DATA.catalogue, quantizer=config.quantizer)
    if "quantizer.codes" in changes:
        # Equal codebooks with another count of codes cannot come from a quantizer; the shapes still must not pass.
        semantic_ids = dataclasses.replace(semantic_ids, codebooks=np.load(f"{base}/semantic_ids/codebooks.npy"))
        model = built(config, dataclasses.replace(semantic_ids, codebooks=semantic_ids.codebooks[:, :3]))
    else:
        model = built(config, semantic_ids)
    before = model.get_weights()
    line = warm_start(model, config=config, semantic_ids=semantic_ids, base=base)
    assert line.startswith("starts fresh: ") and said in line
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_model_of_other_items_starts_fresh_and_says_what_is_unknown(earlier: TrainedModel, base: str) -> None:
    ids = earlier.semantic_ids.item_ids.copy()
    ids[10:] = [f"other-{row}" for row in range(10, NUM_ITEMS)]
    semantic_ids = dataclasses.replace(earlier.semantic_ids, item_ids=ids)
    model = built(earlier.config, semantic_ids)
    before = model.get_weights()
    line = warm_start(model, config=earlier.config, semantic_ids=semantic_ids, base=base)
    assert line.startswith(
        "starts fresh: the earlier model has another catalogue: 75.0% (30 of 40) of the data's items"
    )
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_no_model_at_the_place_starts_fresh(earlier: TrainedModel, tmp_path: pathlib.Path) -> None:
    model = built(earlier.config, earlier.semantic_ids)
    line = warm_start(model, config=earlier.config, semantic_ids=earlier.semantic_ids, base=str(tmp_path / "none"))
    assert line.startswith("starts fresh: the earlier model cannot be read")


def test_training_begins_where_the_earlier_model_ended(tmp_path: pathlib.Path) -> None:
    """The loss of the first warm epoch is lower than that of the first fresh one."""
    config = tiny_config(**{"training.epochs": 8, "training.learning_rate": 0.02, "training.patience": 8})
    catalogue: Catalogue = DATA.catalogue
    semantic_ids = build_semantic_ids(catalogue, quantizer=config.quantizer)
    validation = holdout_of(random_sequences(seed=1))
    first = train_configured(config, semantic_ids, DATA.train, validation)
    TrainedModel(first.model, config, semantic_ids, DATA.popularity).save(str(tmp_path / "trained"))
    once = config.replace(**{"training.epochs": 1})
    warm = train_configured(once, semantic_ids, DATA.train, validation, base=str(tmp_path / "trained"))
    assert warm.history[0]["loss"] < 0.9 * first.history[0]["loss"]
