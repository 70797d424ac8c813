"""A toy model, what is exported of it, the export on disk and its signatures; not to be changed."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from export_support import noisy_model, serving_of

from h2rec_tf.export import ServingModel, export_model


@pytest.fixture(scope="session")
def model() -> Any:
    return noisy_model()


@pytest.fixture(scope="session")
def module(model: Any) -> ServingModel:
    return serving_of(model)


@pytest.fixture(scope="session")
def directory(module: ServingModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("export") / "1")
    export_model(module, path)
    return path


@pytest.fixture(scope="session")
def signatures(directory: str) -> Any:
    loaded = tf.saved_model.load(directory)
    # The loaded object owns the variables that the signatures use.
    signatures = dict(loaded.signatures)
    signatures["owner"] = loaded
    return signatures
