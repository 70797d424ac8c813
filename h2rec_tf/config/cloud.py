"""Kubeflow and Vertex AI."""

from __future__ import annotations

import dataclasses

from h2rec_tf.config_tree import choice, number


@dataclasses.dataclass(frozen=True)
class CloudTrainerConfig:
    """The machine that trains on Kubeflow or Vertex AI; `training.strategy` says how its devices share the work."""

    # step: inside the pipeline's own step. custom_job: the step starts a Vertex AI custom job and waits for it.
    run_as: str = choice("step", "custom_job")
    # Limits of the step; 0 leaves the platform's own.
    cpu: float = number(0.0, low=0.0)
    memory_gib: float = number(0.0, low=0.0)
    # As the platform names it, NVIDIA_TESLA_T4 for example; "" means none.
    accelerator_type: str = ""
    accelerator_count: int = number(1, low=1)
    # Custom job only: machine type and number of machines; more than one needs `training.strategy: multi_worker`.
    machine_type: str = "n1-standard-8"
    replicas: int = number(1, low=1)


@dataclasses.dataclass(frozen=True)
class CloudPushConfig:
    """What a Vertex AI pipeline does with a pushed model beyond writing it to the serving directory."""

    # Uploads the pushed version to the model registry and deploys it to an endpoint.
    enabled: bool = False
    # Display name of the endpoint, made when there is none, and of the model.
    endpoint: str = "h2rec"
    # Vertex AI's own TensorFlow Serving image or one that serves the same API.
    image: str = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
    machine_type: str = "n1-standard-4"
    min_replicas: int = number(1, low=1)
    max_replicas: int = number(1, low=1)
    # Percent of the endpoint's requests that the new model takes; the others share the rest as they did before.
    traffic: int = number(100, low=0, high=100)


@dataclasses.dataclass(frozen=True)
class CloudConfig:
    """Kubeflow and Vertex AI. Project and region are used by steps that call Vertex AI themselves."""

    project: str = ""
    region: str = ""
    # Runs custom jobs and deployed models; "" means the project's default.
    service_account: str = ""
    # Limits of every step but the Trainer's; 0 leaves the platform's own.
    cpu: float = number(0.0, low=0.0)
    memory_gib: float = number(0.0, low=0.0)
    trainer: CloudTrainerConfig = CloudTrainerConfig()
    push: CloudPushConfig = CloudPushConfig()
