"""The training function: learning, stopping, limits, precision and clear errors."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tf_keras as keras
from support import MAX_LENGTH, item_parts, tiny_config, tiny_dataset, tiny_model

from h2rec_tf.data.sequences import Holdout, Sequences
from h2rec_tf.errors import H2RecError, InputError
from h2rec_tf.evaluation import evaluate
from h2rec_tf.models.cold_start import cold_rows
from h2rec_tf.models.vector_recommender import VectorRecommender
from h2rec_tf.training import calibration, loop
from h2rec_tf.training.loop import TrainingResult, train

DATA = tiny_dataset()
# One branch traces fastest; the training function does not look inside the model.
HID = {"model.branches": "hid"}
EMPTY = Holdout(Sequences.from_lists([]), np.zeros(0, np.int32))


def _train(changes: dict[str, Any] | None = None, **arguments: Any) -> TrainingResult:
    defaults = {"max_length": MAX_LENGTH, "batch_size": 16, "learning_rate": 0.01, "epochs": 4}
    return train(
        lambda: tiny_model(train=DATA.train, **{**HID, **(changes or {})}),
        arguments.pop("train_split", DATA.train),
        arguments.pop("validation", DATA.validation),
        **{**defaults, **arguments},
    )


@dataclasses.dataclass
class _Scripted:
    """Stands for the evaluation: gives scripted figures and keeps the weights that it was asked about."""

    values: list[float]
    tables: list[np.ndarray] = dataclasses.field(default_factory=list)

    def __call__(self, recommender: VectorRecommender, *_: Any, **__: Any) -> _Scripted:
        self.tables.append(recommender.table.copy())
        return self

    def metric(self, _: str) -> float:
        return self.values[len(self.tables) - 1]


@pytest.fixture(scope="module")
def trained() -> TrainingResult:
    return _train(epochs=12, patience=3, codes=item_parts()["codes"])


def test_it_learns(trained: TrainingResult) -> None:
    losses = [figures["loss"] for figures in trained.history]
    assert losses[-1] < losses[0]
    # A random ranking of 40 items has an NDCG@10 of about 0.11.
    assert trained.best_ndcg_at_10 > 0.25


def test_the_record_of_each_epoch(trained: TrainingResult) -> None:
    for figures in trained.history:
        assert {"loss", "next_item_loss", "ndcg@10", "hr@10", "seconds", "sequences_per_second"} <= set(figures)
        parts = figures["next_item_loss"] + tiny_config().loss.teacher * figures["teacher_loss"]
        np.testing.assert_allclose(figures["loss"], parts, rtol=1e-4)
        assert 0 <= figures["ndcg@10"] <= figures["hr@10"] <= 1
    values = [figures["ndcg@10"] for figures in trained.history]
    assert trained.best_ndcg_at_10 == max(values)
    assert trained.best_epoch == values.index(max(values)) + 1
    assert trained.seconds >= sum(figures["seconds"] for figures in trained.history) - 1e-6
    assert trained.sequences_per_second > 0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_cold_items_get_rows_of_their_code_neighbours(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    popularity = DATA.popularity.copy()
    assert (popularity[1:] > 0).all(), "the tiny data set trains every item"
    rare = int(popularity[1:].argmin()) + 1
    keep = [row for row in range(len(DATA.train)) if rare not in DATA.train.history(row)]
    split = Sequences.from_lists([DATA.train.history(row).tolist() for row in keep])
    codes = item_parts()["codes"]
    monkeypatch.setattr(calibration, "calibrate_cold", lambda quality: share)
    trained = _train(train_split=split, codes=None, epochs=1).model.hash_ids.table().numpy()[1:]
    table = _train(train_split=split, codes=codes, epochs=1).model.hash_ids.table().numpy()[1:]
    counts = np.bincount(split.items, minlength=len(popularity))
    assert counts[rare] == 0
    np.testing.assert_allclose(table, cold_rows(trained, codes, counts, share=share), atol=1e-6)


@pytest.mark.parametrize("in_directory", [True, False])
def test_early_stopping_gives_the_best_epoch_back(
    in_directory: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = _Scripted([0.1, 0.3, 0.3, 0.2, 0.9])
    monkeypatch.setattr(loop, "evaluate", scripted)
    result = _train({"model.seen_slots": 0}, epochs=9, patience=2, directory=str(tmp_path) if in_directory else None)
    # An equal figure is not a better one.
    assert len(result.history) == 4
    assert (result.best_epoch, result.best_ndcg_at_10) == (2, 0.3)
    np.testing.assert_array_equal(result.model.item_table(), scripted.tables[1])
    assert not np.array_equal(scripted.tables[1], scripted.tables[3])


def test_the_best_figure_is_that_of_the_returned_model(trained: TrainingResult) -> None:
    recommender = VectorRecommender(trained.model, max_length=MAX_LENGTH, popularity=DATA.popularity)
    again = evaluate(recommender, DATA.validation, popularity=DATA.popularity, ks=(10,))
    np.testing.assert_allclose(again.metric("ndcg@10"), trained.best_ndcg_at_10, rtol=1e-6)


def test_max_steps_is_exact() -> None:
    result = _train(max_steps=6, epochs=50)
    assert int(result.model.optimizer.iterations) == 6
    assert len(result.history) == 2, "the limit falls inside the second epoch"


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    plain = {"model.seen_slots": 0}
    result = _train(plain, learning_rate=0.0, patience=1, epochs=9, validation_users=10)
    assert result.best_epoch == 1 and len(result.history) == 2
    start = tiny_model(train=DATA.train, **HID, **plain)
    for left, right in zip(result.model.get_weights()[:20], start.get_weights()[:20], strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains(precision: str) -> None:
    result = _train(precision=precision, schedule="cosine", warmup_steps=3, weight_decay=0.01, epochs=6)
    losses = [figures["loss"] for figures in result.history]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert all(variable.dtype == "float32" for variable in result.model.trainable_variables)
    assert all(np.isfinite(value).all() for value in result.model.get_weights())
    assert keras.mixed_precision.global_policy().name == "float32", "the caller's policy is as it was"


def test_a_diverging_loss_is_a_clear_error() -> None:
    with pytest.raises(H2RecError, match=r"lower `training.learning_rate`"):
        _train({"model.score": "dot"}, learning_rate=1e30, clip_norm=0.0)


def test_nothing_to_learn_from_is_a_clear_error() -> None:
    for split in (Sequences.from_lists([]), Sequences.from_lists([[1], [2]])):
        with pytest.raises(InputError, match="no user has two or more items"):
            _train(train_split=split)
    with pytest.raises(InputError, match="validation split is empty"):
        _train(validation=EMPTY)


def test_users_who_never_come_back_get_a_negative_seen_weight() -> None:
    # Every history of this data moves on to items that it does not hold yet.
    rows = [list(range(start, start + 6)) for start in range(1, 34)]
    train_split = Sequences.from_lists([row[:-1] for row in rows])
    validation = Holdout(train_split, np.asarray([row[-1] for row in rows], np.int32))
    result = _train(train_split=train_split, validation=validation, epochs=3)
    assert float(result.model.seen.weight) < 0


def test_on_epoch_sees_each_epoch_and_may_end_the_training() -> None:
    seen: list[tuple[int, float]] = []

    def on_epoch(number: int, figures: dict[str, float]) -> None:
        seen.append((number, figures["ndcg@10"]))
        if number == 2:
            raise StopIteration

    with pytest.raises(StopIteration):
        _train(on_epoch=on_epoch)
    assert [number for number, _ in seen] == [1, 2]
    assert [value for _, value in seen] == [figures["ndcg@10"] for figures in _train(epochs=2).history]
