"""The connection to Vertex AI: one project, one region, requests sent or shown."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
from collections.abc import Callable
from typing import Any

from h2rec_tf.cloud.errors import explained
from h2rec_tf.errors import InputError, MissingDependencyError

# Another address than Google's, as of a Private Service Connect endpoint.
ENDPOINT_VARIABLE = "H2REC_VERTEX_ENDPOINT"
# Seconds for one call; operations that it starts take their own time.
_CALL_TIMEOUT = 60.0
_OPERATION_TIMEOUT = 3600.0
_SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]

# Request type -> (client, method, full name of the method, whether it starts a long-running operation).
_METHODS = {
    "UploadModelRequest": ("ModelServiceClient", "upload_model", "ModelService.UploadModel", True),
    "CreateEndpointRequest": ("EndpointServiceClient", "create_endpoint", "EndpointService.CreateEndpoint", True),
    "UpdateEndpointRequest": ("EndpointServiceClient", "update_endpoint", "EndpointService.UpdateEndpoint", False),
    "DeployModelRequest": ("EndpointServiceClient", "deploy_model", "EndpointService.DeployModel", True),
    "UndeployModelRequest": ("EndpointServiceClient", "undeploy_model", "EndpointService.UndeployModel", True),
    "CreateBatchPredictionJobRequest": (
        "JobServiceClient",
        "create_batch_prediction_job",
        "JobService.CreateBatchPredictionJob",
        False,
    ),
    "CreateCustomJobRequest": ("JobServiceClient", "create_custom_job", "JobService.CreateCustomJob", False),
}


@dataclasses.dataclass(frozen=True)
class Vertex:
    """A project and region of Vertex AI.

    Attributes:
        project: project id.
        region: as "europe-west4".
        show: in a dry run takes each request that would change something, as JSON, and nothing is sent; None sends.
    """

    project: str
    region: str
    show: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        for name, value in (("project", self.project), ("region", self.region)):
            if not re.fullmatch(r"[a-z][a-z0-9:.-]*[a-z0-9]", value):
                shown = f"'{value}' is not a valid name" if value else "is missing"
                raise InputError(f"--{name} {shown}; give it as --{name} or as `cloud.{name}` in the configuration")
        try:
            importlib.import_module("google.cloud.aiplatform_v1")
        except ImportError as error:
            raise MissingDependencyError(
                "google-cloud-aiplatform is not installed; run: pip install 'h2rec-tf[cloud]'"
            ) from error

    @property
    def parent(self) -> str:
        """Resource name of the region."""
        return f"projects/{self.project}/locations/{self.region}"

    def client(self, name: str) -> Any:
        """A client of the generated API, as `client("ModelServiceClient")`."""
        from google.cloud import aiplatform_v1

        return getattr(aiplatform_v1, name)(**self._connection())

    def initialize_sdk(self) -> None:
        """Makes the high-level library (`google.cloud.aiplatform`) use this project, region and address."""
        from google.cloud import aiplatform

        connection = self._connection()
        aiplatform.init(
            project=self.project,
            location=self.region,
            credentials=connection["credentials"],
            api_endpoint=connection["client_options"]["api_endpoint"],
            api_transport=connection["transport"],
        )

    def _connection(self) -> dict[str, Any]:
        """Address, transport and credentials, in this one place.

        The libraries' gRPC transport always encrypts. A plain `http://` address, which only a server on this machine or
        network would have, is spoken to over REST and without credentials, which must not travel unencrypted. All three
        are always given: the high-level library keeps what an earlier call left out.
        """
        import google.auth
        from google.auth.credentials import AnonymousCredentials

        address = os.environ.get(ENDPOINT_VARIABLE) or f"{self.region}-aiplatform.googleapis.com"
        plain = address.startswith("http://")
        # A dry run builds the libraries' objects, and they want credentials even if nothing is sent.
        anonymous = plain or self.show
        return {
            "client_options": {"api_endpoint": address},
            "transport": "rest" if plain else "grpc",
            "credentials": AnonymousCredentials() if anonymous else google.auth.default(scopes=_SCOPES)[0],
        }

    def send(self, request: Any) -> Any:
        """Sends one request of `google.cloud.aiplatform_v1` and waits for what it starts; a dry run shows it.

        Returns:
            The answer, or None in a dry run.

        Raises:
            InputError: refused for what the request says.
            VertexError: the service failed.
        """
        client, method, name, long_running = _METHODS[type(request).__name__]
        if self.show:
            self.show(request_json(name, request))
            return None
        with explained(name):
            answer = getattr(self.client(client), method)(request=request, timeout=_CALL_TIMEOUT)
            return answer.result(timeout=_OPERATION_TIMEOUT) if long_running else answer

    def read(self, client: str, method: str, **arguments: Any) -> Any:
        """Calls a method that changes nothing, dry run or not; list methods give a list.

        Raises:
            InputError: refused for what the request says, or no credentials.
            VertexError: the service failed.
        """
        reader = dataclasses.replace(self, show=None)
        with explained(f"{client.removesuffix('Client')}.{method}"):
            answer = getattr(reader.client(client), method)(timeout=_CALL_TIMEOUT, **arguments)
            return list(answer) if method.startswith("list_") else answer


def request_json(method: str, request: Any) -> str:
    """A request as JSON text, as the REST API takes it, with the name of the API method."""
    from google.protobuf import json_format

    message = request if isinstance(request, dict) else json_format.MessageToDict(type(request).pb(request))
    return json.dumps({"method": f"google.cloud.aiplatform.v1.{method}", "request": message}, indent=2)


def seconds(time: Any) -> float:
    """Seconds since 1970 of a message's time field, 0 where it is not set.

    Messages give such fields as `datetime` or, depending on what else has loaded protobuf's types, as `Timestamp`.
    """
    if not time:
        return 0.0
    return time.timestamp() if hasattr(time, "timestamp") else time.seconds + time.nanos / 1e9
