"""Finds ops in a SavedModel that reach files, processes or machines: loading a model runs its graph, as a program."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterator
from typing import Any

from h2rec_tf.errors import InputError

# Ops that read or write files, run Python, or talk to other machines, whatever their inputs.
UNSAFE_OPS = frozenset(
    [
        "ReadFile",
        "WriteFile",
        "MatchingFiles",
        "FileSystemSetConfiguration",
        "ImmutableConst",
        "Save",
        "SaveSlices",
        "SaveV2",
        "Restore",
        "RestoreSlice",
        "RestoreV2",
        "MergeV2Checkpoints",
        "LoadAndRemapMatrix",
        "GenerateVocabRemapping",
        "DTensorRestoreV2",
        "PyFunc",
        "PyFuncStateless",
        "EagerPyFunc",
        "InitializeTableFromTextFile",
        "InitializeTableFromTextFileV2",
        "TextLineReader",
        "TextLineReaderV2",
        "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2",
        "TFRecordReader",
        "TFRecordReaderV2",
        "WholeFileReader",
        "WholeFileReaderV2",
        "LMDBReader",
        "RecordInput",
        "TextLineDataset",
        "TFRecordDataset",
        "TFRecordDatasetV2",
        "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2",
        "CSVDataset",
        "CSVDatasetV2",
        "ExperimentalCSVDataset",
        "SqlDataset",
        "ExperimentalSqlDataset",
        "LMDBDataset",
        "ExperimentalLMDBDataset",
        "CacheDataset",
        "CacheDatasetV2",
        "SnapshotDataset",
        "SnapshotDatasetV2",
        "SnapshotDatasetReader",
        "SnapshotNestedDatasetReader",
        "SnapshotChunkDataset",
        "ListSnapshotChunksDataset",
        "SaveDataset",
        "SaveDatasetV2",
        "LoadDataset",
        "DatasetToTFRecord",
        "ExperimentalDatasetToTFRecord",
        "DatasetFromGraph",
        "MatchingFilesDataset",
        "ExperimentalMatchingFilesDataset",
        "DistributedSave",
        "AssertPrevDataset",
        "DataServiceDataset",
        "DataServiceDatasetV2",
        "DataServiceDatasetV3",
        "DataServiceDatasetV4",
        "RegisterDataset",
        "RegisterDatasetV2",
        "CreateSummaryDbWriter",
        "CreateSummaryFileWriter",
        "SummaryWriter",
        "ImportEvent",
        "WriteSummary",
        "WriteScalarSummary",
        "WriteHistogramSummary",
        "WriteImageSummary",
        "WriteAudioSummary",
        "WriteGraphSummary",
        "WriteRawProtoSummary",
        "FlushSummaryWriter",
        "DebugIdentity",
        "DebugIdentityV2",
        "DebugIdentityV3",
        "DebugNanCount",
        "DebugNumericSummary",
        "DebugNumericSummaryV2",
        "DumpTensor",
        "RemoteCall",
        "Send",
        "Recv",
        "_Send",
        "_Recv",
        "_HostSend",
        "_HostRecv",
        "RpcCall",
        "RpcClient",
        "RpcServer",
        "RpcServerRegister",
        "RpcServerStart",
        "InitializeTRTResource",
        "CreateTRTResourceHandle",
        "SerializeTRTResource",
        "Skipgram",
        "XlaCustomCall",
        "XlaCustomCallV2",
    ]
)
# Ops that do so where an attribute names a file.
_NAMING = {"PrintV2": "output_stream", "FixedUnigramCandidateSampler": "vocab_file"}
_STREAMS = ("", "stdout", "stderr", "log(info)", "log(warning)", "log(error)")
_TABLES = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
_RESTORES = ("Restore", "RestoreSlice", "RestoreV2")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# Collections that name ops which loading runs.
_INITIALIZERS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op")
# Where TensorFlow 1 kept the list of assets.
_ASSETS = "saved_model_assets"
_INIT_SIGNATURE = "__saved_model_init_op"


def refuse_unsafe(path: str, meta_graph: Any, *, allowed: Collection[str] = ()) -> None:
    """Refuses a graph whose signatures, initialization or restoring hold such ops.

    What a SavedModel needs of them stays: reading its own variables while it is restored, and filling lookup tables
    from its own assets.

    Args:
        path: of the SavedModel, for the message.
        meta_graph: its `MetaGraphDef`.
        allowed: ops that may be there.

    Raises:
        InputError: names the first one with the function that holds it.
    """
    for asset in _assets(meta_graph):
        name = posixpath.normpath(asset.filename)
        if posixpath.isabs(name) or name.split("/")[0] == "..":
            raise InputError(f"{path}: asset {asset.filename!r} lies outside the model's folder; export the model anew")
    graph = _Graph(meta_graph)
    for op, place in graph.unsafe():
        if op not in allowed:
            raise InputError(
                f"{path}: {place} holds the op {op}, which reaches files, processes or other machines; export the "
                f"model without it, or allow it with --allow-op {op} where you trust whoever made the model"
            )


class _Graph:
    """Walks back from what a server runs.

    Inside a function all nodes count, as those with side effects run whether or not an output needs them.
    """

    def __init__(self, meta_graph: Any) -> None:
        self._meta_graph = meta_graph
        self._nodes = {node.name: node for node in meta_graph.graph_def.node}
        self._functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
        self._assets = {_node_of(asset.tensor_info.name) for asset in _assets(meta_graph)}
        self._assets |= self._asset_variables()
        self._seen: set[Any] = set()

    def unsafe(self) -> Iterator[tuple[str, str]]:
        """Op and what holds it."""
        nothing: tuple[str, ...] = ()
        for name, signature in self._meta_graph.signature_def.items():
            tensors = [output.name for output in signature.outputs.values()]
            if name == _INIT_SIGNATURE:
                yield from self._main(tensors, "initialization", nothing)
            else:
                yield from self._main(tensors, f"signature {name}", nothing)
        for key in _INITIALIZERS:
            if key in self._meta_graph.collection_def:
                collection = self._meta_graph.collection_def[key]
                yield from self._main(list(collection.node_list.value), "initialization", nothing)
        if restore := self._meta_graph.saver_def.restore_op_name:
            yield from self._main([restore], "restoring", _RESTORES)

    def _asset_variables(self) -> set[str]:
        """Variables that nothing but an asset is assigned to: TensorFlow 2 keeps the paths of assets in such."""
        every = [*self._nodes.values(), *(node for f in self._functions.values() for node in f.node_def)]
        handles = [node for node in every if node.op == "VarHandleOp"]
        found = set()
        for handle in (node for node in handles if node.name in self._nodes):
            same = [other for other in handles if other.attr["shared_name"].s == handle.attr["shared_name"].s]
            users = [node for node in self._nodes.values() if handle.name in map(_node_of, node.input)]
            assigned = [_node_of(node.input[1]) for node in users if node.op == "AssignVariableOp"]
            known = all(node.op in ("AssignVariableOp", "VarIsInitializedOp", "ReadVariableOp") for node in users)
            if known and assigned and len(same) == 1 and self._assets.issuperset(assigned):
                found.add(handle.name)
        return found

    def _main(self, tensors: list[str], place: str, own: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        pending = [_node_of(name) for name in tensors]
        reached: set[str] = set()
        while pending:
            name = pending.pop()
            if name in reached or name not in self._nodes:
                continue
            reached.add(name)
            pending += [_node_of(source) for source in self._nodes[name].input]
        nodes = [self._nodes[name] for name in sorted(reached)]
        yield from self._bodies(nodes, place, own, self._assets.__contains__)

    def _bodies(
        self, nodes: list[Any], place: str, own: tuple[str, ...], is_asset: Callable[[str], bool]
    ) -> Iterator[tuple[str, str]]:
        by_name = {node.name: node for node in nodes}

        def from_asset(source: str) -> bool:
            name = _node_of(source)
            while name in by_name and by_name[name].op in ("Identity", "ReadVariableOp"):
                name = _node_of(by_name[name].input[0])
            return is_asset(name)

        for node in nodes:
            # A table's file is its second input.
            is_table = node.op in _TABLES and len(node.input) > 1 and from_asset(node.input[1])
            if _reaches_out(node) and node.op not in own and not is_table:
                yield node.op, place
            for called in self._called(node):
                arguments: frozenset[str] = frozenset()
                signature = self._functions[called].signature
                if node.op in _CALLS or node.op == called:
                    sources = [source for source in node.input if not source.startswith("^")]
                    pairs = zip(signature.input_arg, sources, strict=False)
                    arguments = frozenset(argument.name for argument, source in pairs if from_asset(source))
                key = (called, own, arguments)
                if key in self._seen:
                    continue
                self._seen.add(key)
                body = list(self._functions[called].node_def)
                yield from self._bodies(body, f"function {called}", own, arguments.__contains__)

    def _called(self, node: Any) -> Iterator[str]:
        if node.op in self._functions:
            yield node.op
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                if function.name in self._functions:
                    yield function.name


def _assets(meta_graph: Any) -> list[Any]:
    """The files that a SavedModel brings along, from where TensorFlow's loader takes them."""
    if meta_graph.asset_file_def or _ASSETS not in meta_graph.collection_def:
        return list(meta_graph.asset_file_def)
    from tensorflow.core.protobuf import meta_graph_pb2

    return [
        meta_graph_pb2.AssetFileDef.FromString(one.value) for one in meta_graph.collection_def[_ASSETS].any_list.value
    ]


def _reaches_out(node: Any) -> bool:
    if node.op in _NAMING:
        return node.attr[_NAMING[node.op]].s.decode("utf-8", "replace") not in _STREAMS
    return node.op in UNSAFE_OPS


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
