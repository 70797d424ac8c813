"""Artifact types of the pipeline beyond TFX's own."""

from tfx.types.artifact import Artifact


class SemanticIds(Artifact):
    """Codes, codebooks and item vectors of a catalogue: the files of `h2rec_tf.semantic_ids.SemanticIds.save`.

    The type name is the path that TFX's Kubeflow entry point imports. It has no declared properties, which pipeline
    specs could not carry.
    """

    TYPE_NAME = "tfx_pipeline.SemanticIds"


class ItemIndex(Artifact):
    """An index over a model's item vectors: the files of `h2rec_tf.index.scann_index.build_index`."""

    TYPE_NAME = "tfx_pipeline.ItemIndex"


class IndexBlessing(Artifact):
    """Whether an index may be used: `report.json` with its figures, the reasons against it as a custom property."""

    TYPE_NAME = "tfx_pipeline.IndexBlessing"


class RunReport(Artifact):
    """`report.html`, one page about a model that needs no network."""

    TYPE_NAME = "tfx_pipeline.RunReport"
