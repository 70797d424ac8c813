"""Artifact types of the pipeline beyond TFX's own."""

from tfx.types.artifact import Artifact


class SemanticIds(Artifact):
    """Codes, codebooks and item vectors of a catalogue: the files of `h2rec_tf.semantic_ids.SemanticIds.save`.

    The type name is the path that TFX's Kubeflow entry point imports. It has no declared properties, which pipeline
    specs could not carry.
    """

    TYPE_NAME = "tfx_pipeline.SemanticIds"
