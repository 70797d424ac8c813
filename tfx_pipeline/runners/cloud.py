"""The pipeline's definition for orchestrators that run each step in a container."""

from __future__ import annotations

from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components import InfraValidator
from tfx.dsl.components.base import base_component
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.orchestration.pipeline import Pipeline

from h2rec_tf import __version__
from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import CloudConfig, Config
from h2rec_tf.errors import InputError
from tfx_pipeline import constants
from tfx_pipeline.components.vertex_pusher import check_push
from tfx_pipeline.components.vertex_trainer import train_in_custom_job
from tfx_pipeline.constants import is_remote
from tfx_pipeline.pipeline import create_pipeline

PIPELINE_NAME = "h2rec"
# Beam inside each step's process; `--runner=DataflowRunner` and its like come with the configuration of the step.
_BEAM_PIPELINE_ARGS = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]

ResourceSpec = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


def cloud_pipeline(
    *,
    files: DataFiles,
    config: Config,
    root: str,
    image: str,
    serving_dir: str = "",
    beam_pipeline_args: list[str] | None = None,
    baseline_from_serving: bool = False,
    vertex: bool = False,
) -> Pipeline:
    """The pipeline with machine settings; reads no file.

    Args:
        files: where the steps find the input; URIs, or paths that the containers mount.
        config: the whole configuration.
        root: URI of the artifacts.
        image: of every step.
        serving_dir: where versions are pushed; `root`/serving unless given.
        beam_pipeline_args: flags of the Beam runner; Beam inside each step unless given.
        baseline_from_serving: as of `create_pipeline`.
        vertex: on Vertex AI, where custom jobs and the Vertex push can be had.

    Raises:
        InputError: a path that a container cannot read, or a setting that the orchestrator does not offer.
    """
    for flag, path in (("--interactions", files.interactions), ("--items", files.items), ("--root", root)):
        _check_location(flag, path, vertex)
    for flag, optional in (("--embeddings", files.embeddings), ("--serving-dir", serving_dir)):
        if optional:
            _check_location(flag, optional, vertex)
    cloud = config.cloud
    if not vertex and (cloud.push.enabled or cloud.trainer.run_as == "custom_job"):
        what = "cloud.push.enabled" if cloud.push.enabled else "cloud.trainer.run_as: custom_job"
        raise InputError(f"`{what}` needs Vertex AI; compile with --target vertex or turn it off")
    if cloud.push.enabled:
        check_push(cloud)
    # The orchestrator sees the files' own fingerprints; another release of this package must not find its cache.
    release = f"{__version__}:"
    pipeline = create_pipeline(
        pipeline_name=PIPELINE_NAME,
        pipeline_root=root.rstrip("/"),
        interactions=files.interactions,
        items=files.items,
        embeddings=files.embeddings or "",
        config=config,
        serving_dir=serving_dir or f"{root.rstrip('/')}/serving",
        # Not started where Beam runs inside the step; without an image TFX packs itself up for workers in each step.
        beam_pipeline_args=beam_pipeline_args or [*_BEAM_PIPELINE_ARGS, f"--sdk_container_image={image}"],
        interactions_fingerprint=release,
        items_fingerprint=release,
        stock_resolvers=True,
        baseline_from_serving=baseline_from_serving,
        vertex_push=cloud.push.enabled,
    )
    for component in pipeline.components:
        if isinstance(component, InfraValidator):
            raise InputError("InfraValidator starts Docker containers, which a cloud step cannot; turn it off")
        if isinstance(component, base_component.BaseComponent):
            _set_machine(component, cloud)
            if component.id == constants.TRAINER and cloud.trainer.run_as == "custom_job":
                train_in_custom_job(component, config=config, image=image)
    return pipeline


def compiler(image: str) -> kubeflow_v2_dag_runner.KubeflowV2DagRunner:
    """TFX's compiler to pipeline spec 2.1.

    Raises:
        InputError: no image is named.
    """
    if not image.strip():
        raise InputError("--image is missing: name the container image that was built from this project's Dockerfile")
    return kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=image, default_commands=list(constants.CONTAINER_COMMAND), use_pipeline_spec_2_1=True
        )
    )


def run_always(spec: dict, nodes: tuple[str, ...] = constants.UNCACHED) -> None:
    """Turns the cache off for steps whose effect is outside their artifacts; TFX can only do so for all."""
    for name, task in spec["root"]["dag"]["tasks"].items():
        if name in nodes:
            task.pop("cachingOptions", None)


def _check_location(flag: str, path: str, vertex: bool) -> None:
    if path.startswith(("gs://", "/gcs/")) or (not vertex and (is_remote(path) or path.startswith("/"))):
        return
    wanted = "a gs:// URI" if vertex else "a URI (as gs://bucket/path), or an absolute path that the containers mount"
    raise InputError(f"{flag} {path}: a step in the cloud cannot read it; copy it to cloud storage and give {wanted}")


def _set_machine(component: base_component.BaseComponent, cloud: CloudConfig) -> None:
    trainer = component.id == constants.TRAINER and cloud.trainer.run_as == "step"
    cpu, memory = (cloud.trainer.cpu, cloud.trainer.memory_gib) if trainer else (cloud.cpu, cloud.memory_gib)
    spec = ResourceSpec()
    if cpu:
        spec.cpu_limit = cpu
    if memory:
        # The spec counts in 10^9 bytes.
        spec.memory_limit = memory * 2**30 / 1e9
    if trainer and cloud.trainer.accelerator_type:
        spec.accelerator.type = cloud.trainer.accelerator_type
        spec.accelerator.count = cloud.trainer.accelerator_count
    if spec.ByteSize():
        component.with_platform_config(spec)
