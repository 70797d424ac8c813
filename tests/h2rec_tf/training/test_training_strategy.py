"""Several replicas, on one machine or on two, learn what one replica learns."""

from __future__ import annotations

import contextlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import run_python

# Arguments: strategies, logical devices. Prints a list of runs: with each strategy, first without anything that a
# replica draws or contrasts for itself, then the defaults, a model of another size in the same process.
_RUN = """
import json
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[2])
)
from h2rec_tf.training.loop import train
from support import MAX_LENGTH, tiny_dataset, tiny_model

data, results = tiny_dataset(), []
for changes in ({"model.branches": "sum", "loss.item_alignment": 0.0, "loss.teacher_samples": 0}, {}):

    def build():
        model = tiny_model(train=data.train, **changes)
        # Random start values would differ with the strategy.
        for number, variable in enumerate(model.trainable_variables):
            variable.assign(tf.random.stateless_normal(variable.shape, [0, number], stddev=0.3))
        # A penalty counts once, however many replicas have the weights.
        table = model.hash_ids.embeddings
        model.hash_ids.add_loss(lambda: 0.01 * tf.reduce_sum(tf.square(table)))
        return model

    for strategy in sys.argv[1].split(","):
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


def runs(strategies: str, devices: int, **environment: str) -> list[dict]:
    return json.loads(run_python(_RUN, strategies, str(devices), **environment).stdout.splitlines()[-1])


def figures(run: dict, name: str) -> list[float]:
    return [epoch[name] for epoch in run["history"]]


def same_learning(one: dict, other: dict) -> None:
    assert one["steps"] == other["steps"]
    assert figures(one, "regularization_loss")[0] > 0.05
    for name in ("loss", "next_item_loss", "teacher_loss", "regularization_loss"):
        np.testing.assert_allclose(figures(other, name), figures(one, name), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(figures(other, "ndcg@10"), figures(one, "ndcg@10"), atol=0.02)


def similar_learning(one: dict, other: dict) -> None:
    for name in ("loss", "next_item_loss"):
        losses = figures(other, name)
        assert losses[-1] < losses[0]
        np.testing.assert_allclose(losses, figures(one, name), rtol=0.2)
    assert figures(other, "user_alignment_loss")[0] > 0


def test_two_replicas_learn_what_one_learns():
    """Also where a replica's part of a batch is shorter, or has no target: every target weighs the same."""
    one, two, defaults_one, defaults_two = runs("default,mirrored", 2)
    assert [run["replicas"] for run in (one, two)] == [1, 2]
    same_learning(one, two)
    similar_learning(defaults_one, defaults_two)


# Slow, as the next: a process, or three of them, for what one line of the library decides.
@pytest.mark.slow
def test_a_mirrored_strategy_of_one_device_learns_what_none_learns():
    none, one, defaults_none, defaults_one = runs("default,mirrored", 1)
    assert one["replicas"] == 1
    same_learning(none, one)
    similar_learning(defaults_none, defaults_one)


@pytest.mark.slow
def test_two_machines_learn_what_one_learns():
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        chief, worker = (f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    cluster = {"chief": [chief], "worker": [worker]}
    tasks = [json.dumps({"cluster": cluster, "task": {"type": role, "index": 0}}) for role in cluster]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda task: runs("multi_worker", 1, TF_CONFIG=task), tasks))
    one, defaults = runs("default", 1)
    for first, second in found:
        assert first["replicas"] == 2
        same_learning(one, first)
        similar_learning(defaults, second)
    assert figures(found[0][1], "ndcg@10") == figures(found[1][1], "ndcg@10")
