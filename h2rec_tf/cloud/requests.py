"""Requests to Vertex AI as messages of `google.cloud.aiplatform_v1`, from plain arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from h2rec_tf.errors import InputError

_GRPC_PORT, _REST_PORT = 8500, 8501


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a model runs on.

    Attributes:
        machine_type: as "n1-standard-4".
        min_replicas: machines that are always there.
        max_replicas: machines at the most.
        accelerator_type: as "NVIDIA_TESLA_T4", or "".
        accelerator_count: accelerators a machine, where there is a type.
    """

    machine_type: str
    min_replicas: int = 1
    max_replicas: int = 1
    accelerator_type: str = ""
    accelerator_count: int = 1

    def __post_init__(self) -> None:
        if self.max_replicas < self.min_replicas:
            raise InputError(
                f"the most replicas ({self.max_replicas}) are fewer than the least ({self.min_replicas}); raise"
                " --max-replicas (`max_replicas`)"
            )

    def spec(self) -> Any:
        """The `MachineSpec`.

        Raises:
            InputError: the accelerator is not one that the API knows.
        """
        from google.cloud import aiplatform_v1 as api

        spec = api.MachineSpec(machine_type=self.machine_type)
        if self.accelerator_type:
            if self.accelerator_type not in api.AcceleratorType.__members__:
                known = [name for name in api.AcceleratorType.__members__ if "UNSPECIFIED" not in name]
                raise InputError(f"accelerator type '{self.accelerator_type}' is not known; known: {', '.join(known)}")
            spec.accelerator_type = getattr(api.AcceleratorType, self.accelerator_type)
            spec.accelerator_count = self.accelerator_count
        return spec


def own_server(image: str, model_name: str = "h2rec") -> dict[str, Any]:
    """The container of this project's model server, for `upload(container=...)`.

    Vertex AI puts the model's directory into AIP_STORAGE_URI; here that is a folder of versions.
    """
    return {
        "image_uri": image,
        "args": [
            "serve",
            "--model-dir=$(AIP_STORAGE_URI)",
            f"--model-name={model_name}",
            "--host=0.0.0.0",
            f"--port={_GRPC_PORT}",
            f"--rest-port={_REST_PORT}",
            # Vertex AI's own proxy, which asks for credentials, is the only way to the container.
            "--insecure-public",
        ],
        "ports": [{"container_port": _REST_PORT}],
        "predict_route": f"/v1/models/{model_name}:predict",
        "health_route": "/readyz",
    }


def upload(
    parent: str,
    *,
    display_name: str,
    artifact_uri: str,
    container: Mapping[str, Any],
    parent_model: str = "",
    aliases: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
) -> Any:
    """`UploadModelRequest`: a SavedModel and the container that serves it become a model, or a new version of one.

    Args:
        parent: resource name of the region.
        display_name: of the model.
        artifact_uri: `gs://` directory; with the prebuilt containers the one that holds `saved_model.pb`.
        container: fields of `ModelContainerSpec`; `image_uri` at least.
        parent_model: resource name of the model that this is a version of, or "".
        aliases: names of the version, beside its number.
        labels: of the model.
    """
    from google.cloud import aiplatform_v1 as api

    if not artifact_uri.startswith("gs://"):
        raise InputError(f"artifact URI {artifact_uri}: Vertex AI reads models from gs:// only; copy the model there")
    return api.UploadModelRequest(
        parent=parent,
        parent_model=parent_model,
        model=api.Model(
            display_name=display_name,
            artifact_uri=artifact_uri,
            container_spec=api.ModelContainerSpec(**container),
            version_aliases=list(aliases),
            labels=dict(labels or {}),
        ),
    )


def create_endpoint(parent: str, *, display_name: str, labels: Mapping[str, str] | None = None) -> Any:
    """`CreateEndpointRequest`."""
    from google.cloud import aiplatform_v1 as api

    endpoint = api.Endpoint(display_name=display_name, labels=dict(labels or {}))
    return api.CreateEndpointRequest(parent=parent, endpoint=endpoint)


def deploy(
    endpoint: str,
    *,
    model: str,
    display_name: str,
    machine: Machine,
    split: Mapping[str, int],
    service_account: str = "",
) -> Any:
    """`DeployModelRequest`.

    Args:
        endpoint: resource name.
        model: resource name, a version's too.
        display_name: of the deployed model.
        machine: what it runs on.
        split: percent by deployed model id; the new one is "0".
        service_account: it runs as this, or "".
    """
    from google.cloud import aiplatform_v1 as api

    deployed = api.DeployedModel(
        model=model,
        display_name=display_name,
        service_account=service_account,
        dedicated_resources=api.DedicatedResources(
            machine_spec=machine.spec(),
            min_replica_count=machine.min_replicas,
            max_replica_count=machine.max_replicas,
        ),
    )
    return api.DeployModelRequest(endpoint=endpoint, deployed_model=deployed, traffic_split=dict(split))


def set_traffic(endpoint: str, split: Mapping[str, int]) -> Any:
    """`UpdateEndpointRequest` that changes the traffic split alone."""
    from google.cloud import aiplatform_v1 as api
    from google.protobuf import field_mask_pb2

    return api.UpdateEndpointRequest(
        endpoint=api.Endpoint(name=endpoint, traffic_split=dict(split)),
        update_mask=field_mask_pb2.FieldMask(paths=["traffic_split"]),
    )


def undeploy(endpoint: str, deployed_model_id: str) -> Any:
    """`UndeployModelRequest`; the model must have no traffic."""
    from google.cloud import aiplatform_v1 as api

    return api.UndeployModelRequest(endpoint=endpoint, deployed_model_id=deployed_model_id)


def batch_predict(
    parent: str,
    *,
    display_name: str,
    model: str,
    source: tuple[str, ...],
    destination: str,
    machine: Machine,
    service_account: str = "",
) -> Any:
    """`CreateBatchPredictionJobRequest` over JSON Lines.

    Args:
        parent: resource name of the region.
        display_name: of the job.
        model: resource name.
        source: `gs://` patterns of files with one instance, as `{"history": [...]}`, a line.
        destination: `gs://` prefix of the predictions.
        machine: what it runs on.
        service_account: it runs as this, or "".
    """
    from google.cloud import aiplatform_v1 as api

    for uri in (*source, destination):
        if not uri.startswith("gs://"):
            raise InputError(f"{uri}: batch prediction reads and writes gs:// only")
    return api.CreateBatchPredictionJobRequest(
        parent=parent,
        batch_prediction_job=api.BatchPredictionJob(
            display_name=display_name,
            model=model,
            input_config=api.BatchPredictionJob.InputConfig(
                instances_format="jsonl", gcs_source=api.GcsSource(uris=list(source))
            ),
            output_config=api.BatchPredictionJob.OutputConfig(
                predictions_format="jsonl", gcs_destination=api.GcsDestination(output_uri_prefix=destination)
            ),
            dedicated_resources=api.BatchDedicatedResources(
                machine_spec=machine.spec(),
                starting_replica_count=machine.min_replicas,
                max_replica_count=machine.max_replicas,
            ),
            service_account=service_account,
        ),
    )
