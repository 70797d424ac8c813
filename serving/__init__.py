"""Serving of pushed models over TensorFlow Serving's own gRPC API: a server, a client and their commands."""
