"""SchemaGen that writes the curated schema."""

from __future__ import annotations

import os
from typing import Any

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components.schema_gen import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from tfx_pipeline.schema import user_schema


class SequenceSchemaGenExecutor(executor.Executor):
    """Writes `tfx_pipeline.schema.user_schema`: what the pipeline itself writes need not be guessed from statistics."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the schema."""
        uri = artifact_utils.get_single_uri(output_dict[standard_component_specs.SCHEMA_KEY])
        tfdv.write_schema_text(user_schema(), os.path.join(uri, executor.DEFAULT_FILE_NAME))


class SequenceSchemaGen(component.SchemaGen):
    """Schema of user examples.

    Outputs:
        schema: types, presence, number of values, domains; each split is an environment.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SequenceSchemaGenExecutor)
