"""What a traced function holds of the catalogue's lists."""

import numpy as np
import tensorflow as tf

from h2rec_tf.losses.item_alignment import ItemAlignment
from h2rec_tf.losses.neighbour_teacher import NeighbourTeacher

ITEMS, WIDTH = 50_000, 5
LISTS = {
    "neighbours": np.random.default_rng(0).integers(1, ITEMS + 1, (ITEMS + 1, WIDTH)),
    "weights": np.full((ITEMS + 1, WIDTH), 1 / WIDTH),
}


def _definition_bytes(function, *shapes):
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in shapes]
    graph = tf.function(function, input_signature=specs).get_concrete_function().graph
    return graph.as_graph_def().ByteSize()


def test_graphs_refer_to_the_lists_and_do_not_contain_them():
    teacher = NeighbourTeacher(**LISTS, samples=4)
    alignment = ItemAlignment(
        **LISTS, groups=np.arange(ITEMS + 1), code_order=np.arange(1, ITEMS + 1), hard_negatives=2
    )
    history, table = ([None, None], tf.int32), ([ITEMS + 1, 8], tf.float32)
    one_list = ITEMS * 4
    assert _definition_bytes(teacher, history, table) < one_list
    rows = tf.Variable(tf.ones([ITEMS + 1, 8]))
    look_up = rows.sparse_read
    assert _definition_bytes(lambda items: alignment(items, hid=look_up, sid=look_up), history) < one_list
