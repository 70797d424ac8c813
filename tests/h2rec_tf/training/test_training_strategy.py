"""Two replicas on one machine learn what one replica learns."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import run_python

_RUN = """
import json, sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from h2rec_tf.training.loop import train
from support import MAX_LENGTH, tiny_dataset, tiny_model

data, results = tiny_dataset(), {}
for strategy in ("default", "mirrored"):
    result = train(
        lambda: tiny_model(train=data.train, **{"model.branches": "sum"}),
        data.train,
        data.validation,
        max_length=MAX_LENGTH,
        batch_size=16,
        learning_rate=0.01,
        epochs=3,
        strategy=strategy,
    )
    results[strategy] = {
        "history": result.history,
        "replicas": result.model.distribute_strategy.num_replicas_in_sync,
        "steps": int(result.model.optimizer.iterations.numpy()),
    }
print(json.dumps(results))
"""


# Slow: a process of its own, and each replica's part of the step is traced.
@pytest.mark.slow
def test_mirrored_strategy_gives_about_the_same_loss() -> None:
    results = json.loads(run_python(_RUN).stdout.splitlines()[-1])
    one, two = results["default"], results["mirrored"]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["steps"] == two["steps"]
    for name in ("loss", "next_item_loss"):
        left, right = ([figures[name] for figures in run["history"]] for run in (one, two))
        # Each replica means over its own half of the targets, so that the halves weigh a little differently.
        np.testing.assert_allclose(left, right, rtol=0.08)
        assert right[-1] < right[0]
    assert abs(one["history"][-1]["hr@10"] - two["history"][-1]["hr@10"]) < 0.15
