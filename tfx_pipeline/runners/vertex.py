"""Compiles the pipeline for Vertex AI Pipelines."""

from __future__ import annotations

from typing import Any

from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config
from tfx_pipeline.runners.cloud import cloud_pipeline, compiler, run_always


def compile_vertex(*, files: DataFiles, config: Config, root: str, image: str, **options: Any) -> dict[str, Any]:
    """The pipeline job (spec and runtime configuration), as Vertex AI Pipelines takes it in JSON or YAML.

    Args:
        options: further arguments of `cloud_pipeline`.

    Raises:
        InputError: as `cloud_pipeline`, or no image is named.
    """
    runner = compiler(image)
    job = runner.run(
        cloud_pipeline(files=files, config=config, root=root, image=image, vertex=True, **options), write_out=False
    )
    run_always(job["pipelineSpec"])
    return job
