"""Two replicas on one machine learn what one replica learns."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import run_python

# One process of two logical devices for all: TensorFlow takes a while to start.
_RUN = """
import json
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from h2rec_tf.training.loop import train
from support import MAX_LENGTH, tiny_dataset, tiny_model

data, results = tiny_dataset(), []
exact = {"model.branches": "sum", "loss.item_alignment": 0.0, "loss.teacher_samples": 0}
for changes in (exact, {}):
    starts = []

    def build():
        model = tiny_model(train=data.train, **changes)
        # Random start values differ with the strategy.
        starts[:] = starts or [variable.numpy() for variable in model.trainable_variables]
        for variable, start in zip(model.trainable_variables, starts, strict=True):
            variable.assign(start)
        return model

    for strategy in ("default", "mirrored"):
        result = train(
            build,
            data.train,
            data.validation,
            max_length=MAX_LENGTH,
            batch_size=16,
            learning_rate=0.01,
            epochs=2,
            strategy=strategy,
        )
        results.append(
            {
                "history": result.history,
                "replicas": result.model.distribute_strategy.num_replicas_in_sync,
                "steps": int(result.model.optimizer.iterations.numpy()),
            }
        )
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def runs():
    """Pairs of one replica and two: exact losses, then the defaults, a model of another size in the same process."""
    results = json.loads(run_python(_RUN).stdout.splitlines()[-1])
    return list(zip(results[::2], results[1::2], strict=True))


def figures(run: dict, name: str) -> list[float]:
    return [epoch[name] for epoch in run["history"]]


def test_two_replicas_learn_what_one_learns(runs) -> None:
    """Also where a replica's part of a batch is shorter, or has no target: every target weighs the same."""
    one, two = runs[0]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["steps"] == two["steps"]
    for name in ("loss", "next_item_loss", "teacher_loss"):
        np.testing.assert_allclose(figures(two, name), figures(one, name), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(figures(two, "ndcg@10"), figures(one, "ndcg@10"), atol=0.02)


def test_what_is_drawn_or_contrasted_on_each_replica_learns_too(runs) -> None:
    one, two = runs[1]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    for name in ("loss", "next_item_loss"):
        losses = figures(two, name)
        assert losses[-1] < losses[0]
        np.testing.assert_allclose(losses, figures(one, name), rtol=0.2)
    assert figures(two, "user_alignment_loss")[0] > 0
