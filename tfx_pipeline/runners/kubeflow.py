"""Compiles the pipeline for Kubeflow Pipelines 2."""

from __future__ import annotations

from typing import Any

from h2rec_tf.cli.options import DataFiles
from h2rec_tf.config import Config
from h2rec_tf.errors import InputError
from tfx_pipeline.runners.cloud import cloud_pipeline, compiler, run_always


def compile_kubeflow(*, files: DataFiles, config: Config, root: str, image: str, **options: Any) -> dict[str, Any]:
    """The pipeline spec, as Kubeflow Pipelines takes it in YAML or JSON.

    Kubeflow Pipelines runs containers only. It has no resolvers, so the baseline comes from the serving directory.

    Args:
        options: further arguments of `cloud_pipeline`.

    Raises:
        InputError: as `cloud_pipeline`, or no image is named.
    """
    if "{" in files.interactions:
        # TFX resolves them in a hook before the step, which this backend does not run.
        raise InputError(
            f"--interactions {files.interactions}: Kubeflow Pipelines cannot choose a span; name the file, or compile"
            " with --target vertex"
        )
    runner = compiler(image)
    pipeline = cloud_pipeline(files=files, config=config, root=root, image=image, baseline_from_serving=True, **options)
    spec = runner.run(pipeline, write_out=False)["pipelineSpec"]
    spec["defaultPipelineRoot"] = pipeline.pipeline_info.pipeline_root
    run_always(spec)
    return spec
