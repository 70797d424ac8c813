"""Directories that outlive a killed execution."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from tfx import types


def kept_directory(root: str, input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]) -> str:
    """The directory under `root` for these inputs and settings.

    TFX gives every execution new output directories, so what is to outlive a kill lies outside of them: a directory
    that the next execution with equal inputs and settings finds again, also in a pipeline's root that was moved.
    """
    uris = {key: [artifact.uri for artifact in artifacts] for key, artifacts in sorted(input_dict.items())}
    settings = {key: str(value) for key, value in sorted(exec_properties.items())}
    text = json.dumps([uris, settings]).replace(os.path.dirname(root.rstrip("/")) + "/", "")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return os.path.join(root, digest[:20])
