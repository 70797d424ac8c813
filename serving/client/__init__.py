"""Clients for a served model: this project's server or TensorFlow Serving, over the same gRPC API.

Importing this imports no TensorFlow.
"""

from serving.client.asynchronous import AsyncClient
from serving.client.blocking import Client
from serving.client.connection import Connection
from serving.client.results import (
    ModelMetadata,
    RankedCandidate,
    Recommendation,
    ServerError,
    SignatureSpec,
    TensorSpec,
    VersionStatus,
)

__all__ = [
    "AsyncClient",
    "Client",
    "Connection",
    "ModelMetadata",
    "RankedCandidate",
    "Recommendation",
    "ServerError",
    "SignatureSpec",
    "TensorSpec",
    "VersionStatus",
]
