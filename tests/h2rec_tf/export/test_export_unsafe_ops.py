"""Ops that reach out of a model: which there are by TensorFlow's own registry, and where in a SavedModel they count."""

import pathlib

import pytest
import tensorflow as tf
import tfx
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from h2rec_tf.errors import InputError
from h2rec_tf.export.unsafe_ops import _NAMING, UNSAFE_OPS, refuse_unsafe

# What is called like a file and is none.
HARMLESS = {
    "CTCBeamSearchDecoder": "top_paths",
    "ExperimentalSetStatsAggregatorDataset": "counter_prefix",
    "SetStatsAggregatorDataset": "counter_prefix",
    "ShardedFilename": "makes a name",
    "ShardedFilespec": "makes a name",
    "TRTEngineOp": "profile_strategy",
    "TensorSliceDataset": "is_files",
}
WORDS = ("file", "path", "directory", "dir_", "ckpt", "checkpoint", "address", "prefix")


def meta_graph(path: pathlib.Path):
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    return next((graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags), None)


def test_every_op_of_tensorflow_that_names_a_file_is_known():
    ops = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())).op
    named = {op.name for op in ops for one in [*op.input_arg, *op.attr] if any(word in one.name for word in WORDS)}
    assert len(named) > 30
    assert named - UNSAFE_OPS - set(_NAMING) - set(HARMLESS) == set()


class Reading(tf.Module):
    """Reads the file whose name it is sent."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def __call__(self, name):
        return {"content": tf.io.read_file(name)}


class Hidden(tf.Module):
    """Writes a file in a branch of a function of a function."""

    @tf.function
    def inner(self, name):
        if tf.equal(name, "x"):
            tf.io.write_file(name, "written")
        return name

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def __call__(self, name):
        return {"name": tf.identity(self.inner(name))}


class Python(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def __call__(self, name):
        return {"name": tf.numpy_function(lambda value: value, [name], tf.string)}


class Records(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def __call__(self, name):
        return {"number": tf.data.TFRecordDataset([name]).reduce(0, lambda number, _: number + 1)}


class Table(tf.Module):
    """A lookup table of lines of a file, which is the model's own where it is an asset."""

    def __init__(self, file):
        super().__init__()
        keys, values = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(file, tf.string, keys, tf.int64, values), -1
        )
        self.weights = tf.Variable([1.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, names):
        return {"places": self.table.lookup(names), "weights": self.weights}


def saved(module, path, **options):
    tf.saved_model.save(module, str(path), signatures=module.__call__, **options)
    return meta_graph(path)


@pytest.mark.parametrize(
    ("module", "op"), [(Reading, "ReadFile"), (Hidden, "WriteFile"), (Records, "TFRecordDataset"), (Python, "PyFunc")]
)
def test_an_op_that_reaches_out_is_refused_by_name_wherever_it_is(tmp_path, module, op):
    graph = saved(module(), tmp_path / "model")
    with pytest.raises(
        InputError, match=rf"(function|signature) \S+ holds the op (Eager)?{op}, .*--allow-op"
    ) as raised:
        refuse_unsafe("model", graph)
    assert "\n" not in str(raised.value)
    found = str(raised.value).partition("holds the op ")[2].partition(",")[0]
    refuse_unsafe("model", graph, allowed={found})


def test_a_table_of_an_asset_and_variables_are_the_models_own(tmp_path):
    (tmp_path / "lines").write_text("a\nb\n")
    graph = saved(Table(str(tmp_path / "lines")), tmp_path / "model")
    refuse_unsafe("model", graph)
    assert "InitializeTableFromTextFileV2" in str(graph.graph_def)
    # The same graph, with the file no longer among the model's own.
    del graph.asset_file_def[:]
    with pytest.raises(InputError, match="holds the op InitializeTableFromTextFileV2"):
        refuse_unsafe("model", graph)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../other/variables", "a/../../b"])
def test_an_asset_outside_of_the_folder_is_refused(tmp_path, name):
    (tmp_path / "lines").write_text("a\n")
    graph = saved(Table(str(tmp_path / "lines")), tmp_path / "model")
    graph.asset_file_def[0].filename = name
    with pytest.raises(InputError, match="lies outside the model's folder"):
        refuse_unsafe("model", graph)


def test_a_path_that_comes_from_elsewhere_is_not_an_asset(tmp_path):
    """What restoring writes into the variable of the asset's path would be read as a table's file."""
    graph = saved(Table(_file(tmp_path)), tmp_path / "model")
    handle = next(node.input[0] for node in graph.graph_def.node if node.op == "AssignVariableOp")
    graph.graph_def.node.add(name="second", op="AssignVariableOp", input=[handle, "Const"])
    with pytest.raises(InputError, match="holds the op InitializeTableFromTextFileV2"):
        refuse_unsafe("model", graph)


def test_reading_while_restoring_is_restoring_and_anything_else_there_is_not(tmp_path):
    graph = saved(Table(_file(tmp_path)), tmp_path / "model")
    node = graph.graph_def.node.add(name="evil", op="WriteFile")
    graph.saver_def.restore_op_name = node.name
    with pytest.raises(InputError, match="restoring holds the op WriteFile"):
        refuse_unsafe("model", graph)


def _file(folder):
    (folder / "lines").write_text("a\n")
    return str(folder / "lines")


def test_models_that_tfx_made_are_accepted():
    folder = pathlib.Path(tfx.__file__).parent / "components" / "testdata"
    models = sorted(path.parent for path in folder.rglob("saved_model.pb"))
    graphs = {str(path): graph for path in models if (graph := meta_graph(path))}
    assert len(graphs) >= 4
    for path, graph in graphs.items():
        refuse_unsafe(path, graph)
    assert any("InitializeTableFromTextFile" in str(graph.graph_def) for graph in graphs.values())
