"""Training in a Vertex AI custom job that a pipeline step starts and waits for."""

from __future__ import annotations

import json
import time
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils, name_utils

from h2rec_tf.cloud.requests import Machine
from h2rec_tf.cloud.vertex import Vertex
from h2rec_tf.config import Config
from h2rec_tf.errors import H2RecError, InputError

# Key in `custom_config` of what this executor reads; the executor in the job does not see it.
JOB = "vertex_custom_job"
_POLL_SECONDS = 30.0
# Runs the executor there.
_COMMAND = ["python", "-m", "tfx_pipeline.runners.custom_job"]


class CustomJobError(H2RecError):
    """The job ended without success; its own log has the reason."""

    exit_code = 1


def train_in_custom_job(trainer: base_component.BaseComponent, *, config: Config, image: str) -> None:
    """Makes a Trainer node run its executor in a custom job.

    Args:
        trainer: the node.
        config: `cloud` has the machines, `training.strategy` must fit their number.
        image: of the job.

    Raises:
        InputError: project or region is missing, the accelerator is unknown, or there are more machines than the
            strategy uses.
    """
    cloud = config.cloud
    Vertex(cloud.project, cloud.region)
    if cloud.trainer.replicas > 1 and config.training.strategy != "multi_worker":
        raise InputError(
            f"`cloud.trainer.replicas` is {cloud.trainer.replicas}, but `training.strategy` is"
            f" '{config.training.strategy}', which uses one machine; set it to multi_worker"
        )
    machine = Machine(
        cloud.trainer.machine_type,
        accelerator_type=cloud.trainer.accelerator_type,
        accelerator_count=cloud.trainer.accelerator_count,
    )
    machine.spec()
    properties = trainer.spec.exec_properties
    custom = json_utils.loads(properties[standard_component_specs.CUSTOM_CONFIG_KEY])
    custom[JOB] = {
        "project": cloud.project,
        "region": cloud.region,
        "service_account": cloud.service_account,
        "image": image,
        "replicas": cloud.trainer.replicas,
        "machine_type": machine.machine_type,
        "accelerator_type": machine.accelerator_type,
        "accelerator_count": machine.accelerator_count,
        "executor": name_utils.get_full_name(trainer.executor_spec.executor_class),
    }
    properties[standard_component_specs.CUSTOM_CONFIG_KEY] = json_utils.dumps(custom)
    trainer.executor_spec = executor_spec.ExecutorClassSpec(CustomJobTrainerExecutor)


class CustomJobTrainerExecutor(base_executor.BaseExecutor):
    """Starts the job, waits for its end, and fails where it failed."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Hands the Trainer's own arguments on to the job.

        Raises:
            InputError: Vertex AI refused the job for what it says.
            VertexError: Vertex AI failed.
            CustomJobError: the job failed or was cancelled.
        """
        properties = dict(exec_properties)
        custom = json_utils.loads(properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        job = custom.pop(JOB)
        properties[standard_component_specs.CUSTOM_CONFIG_KEY] = json_utils.dumps(custom)
        command = [
            *_COMMAND,
            "--executor_class_path",
            job["executor"],
            "--inputs",
            artifact_utils.jsonify_artifact_dict(input_dict),
            "--outputs",
            artifact_utils.jsonify_artifact_dict(output_dict),
            "--exec-properties",
            json.dumps(properties, sort_keys=True),
        ]
        vertex = Vertex(job["project"], job["region"])
        name = vertex.send(custom_job_request(vertex.parent, job, command)).name
        logging.info("Training in %s", name)
        _wait(vertex, name)


def custom_job_request(parent: str, job: dict[str, Any], command: list[str]) -> Any:
    """`CreateCustomJobRequest` with one chief and `replicas - 1` workers that run the same command.

    Args:
        parent: resource name of the region.
        job: what `train_in_custom_job` wrote.
        command: of the container.
    """
    from google.cloud import aiplatform_v1 as api

    machine = Machine(
        job["machine_type"], accelerator_type=job["accelerator_type"], accelerator_count=job["accelerator_count"]
    )

    def pool(replicas: int) -> Any:
        return api.WorkerPoolSpec(
            machine_spec=machine.spec(),
            replica_count=replicas,
            container_spec=api.ContainerSpec(image_uri=job["image"], command=command),
        )

    pools = [pool(1)] + ([pool(job["replicas"] - 1)] if job["replicas"] > 1 else [])
    return api.CreateCustomJobRequest(
        parent=parent,
        custom_job=api.CustomJob(
            display_name="h2rec-trainer",
            job_spec=api.CustomJobSpec(worker_pool_specs=pools, service_account=job["service_account"]),
        ),
    )


def _wait(vertex: Vertex, name: str) -> None:
    from google.cloud import aiplatform_v1 as api

    ended = {
        api.JobState.JOB_STATE_SUCCEEDED,
        api.JobState.JOB_STATE_FAILED,
        api.JobState.JOB_STATE_CANCELLED,
        api.JobState.JOB_STATE_EXPIRED,
    }
    while True:
        found = vertex.read("JobServiceClient", "get_custom_job", name=name)
        if found.state in ended:
            break
        time.sleep(_POLL_SECONDS)
    if found.state != api.JobState.JOB_STATE_SUCCEEDED:
        said = f": {found.error.message}" if found.error.message else ""
        raise CustomJobError(f"Trainer: custom job {name} ended as {api.JobState(found.state).name}{said}; see its log")
