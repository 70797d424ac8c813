"""Fixtures of all tests. Shared factories are in `support`, NumPy counterparts of layers in `oracles`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from fake_vertex import FakeVertex

# First, before any test imports TensorFlow: it sets what the pinned stack needs from the environment.
import h2rec_tf  # noqa: F401


@pytest.fixture(autouse=True)
def _float32_policy() -> Iterator[None]:
    """Every test leaves Keras with the policy it found, whatever it trained with."""
    yield
    keras = sys.modules.get("tf_keras")
    if keras is not None:
        keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def vertex_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVertex]:
    """Vertex AI and Cloud Storage on loopback; everything in the test that asks for them ends up there."""
    with FakeVertex() as fake:
        monkeypatch.setenv("H2REC_VERTEX_ENDPOINT", fake.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        yield fake


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes never name a test: gzip's hold the time they were made at, and the workers must agree on all names."""
    return argname if isinstance(val, bytes) else None
