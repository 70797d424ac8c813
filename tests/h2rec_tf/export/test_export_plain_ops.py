"""The export needs TensorFlow alone."""

from __future__ import annotations

import json
from typing import Any

from export_support import IDS, ids_of, recommend, saved_model
from support import run_python

_FRESH = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
none = tf.zeros([1, 0], tf.string)
answer = loaded.signatures["serving_default"](
    history=tf.constant(json.loads(sys.argv[2])), k=tf.constant(7), exclude=none, allow_categories=none
)
assert not any(name.startswith(("h2rec_tf", "tensorflow_recommenders")) for name in sys.modules)
print(json.dumps([[item.decode() for item in row] for row in answer["item_ids"].numpy()]))
"""


def test_a_fresh_process_with_tensorflow_alone_serves_it(directory: str, signatures: Any) -> None:
    rows = [[IDS[3], IDS[4]], ["nowhere", IDS[7]]]
    found = json.loads(run_python(_FRESH, directory, json.dumps(rows)).stdout.splitlines()[-1])
    assert found == ids_of(recommend(signatures, rows, k=7))


def test_the_graph_has_plain_tensorflow_ops_only(directory: str) -> None:
    graph = saved_model(directory).meta_graphs[0].graph_def
    ops = {node.op for node in graph.node} | {
        node.op for function in graph.library.function for node in function.node_def
    }
    # That each op is TensorFlow's own is shown by the process above, which has nothing else.
    assert not [op for op in ops if "PyFunc" in op or "Scann" in op]
