"""A model server that speaks TensorFlow Serving's gRPC API. The entry point is `serving.server.model_server`."""
