"""The image in which InfraValidator starts the model."""

from __future__ import annotations

from tfx.proto import infra_validator_pb2


def serving_image(image: str) -> infra_validator_pb2.TensorFlowServing:
    """What InfraValidator is told about an image.

    Args:
        image: `NAME:TAG`, `NAME@DIGEST` or `NAME`, which is its tag `latest`. It must start as TensorFlow Serving's
            image does: by MODEL_NAME and MODEL_BASE_PATH, with gRPC on 8500.
    """
    name, _, digest = image.partition("@")
    if digest:
        return infra_validator_pb2.TensorFlowServing(image_name=name, digests=[digest])
    folder, slash, last = image.rpartition("/")
    # A colon before the last slash belongs to the registry's port.
    name, _, tag = last.partition(":")
    return infra_validator_pb2.TensorFlowServing(image_name=f"{folder}{slash}{name}", tags=[tag or "latest"])
