"""The exported model: plain TensorFlow ops, string ids in and out, for any TensorFlow Serving."""

from h2rec_tf.export.configured import serving_model
from h2rec_tf.export.saved import export_model
from h2rec_tf.export.serving_model import ServingModel

__all__ = ["ServingModel", "export_model", "serving_model"]
