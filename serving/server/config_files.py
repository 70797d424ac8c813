"""TensorFlow Serving's configuration files in protobuf text format: models, batching, monitoring."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from google.protobuf import text_format

from h2rec_tf.errors import InputError
from serving import protocol
from serving.server.options import METRICS_PATH, Batching
from serving.server.policy import ModelConfig, VersionPolicy


def read_models(path: str) -> list[ModelConfig]:
    """The models of a `model_config_list` file.

    Raises:
        InputError: the file cannot be read or parsed, or a model in it cannot be served as asked.
    """
    from tensorflow_serving.config import model_server_config_pb2

    message = _parse("--model-config-file", path, model_server_config_pb2.ModelServerConfig())
    try:
        return models_of(message)
    except InputError as error:
        raise InputError(f"--model-config-file {path}: {error}") from error


def models_of(config: Any) -> list[ModelConfig]:
    """The models of a ModelServerConfig message.

    Raises:
        InputError: no model, a name or path that is missing or repeated, a platform other than TensorFlow.
    """
    if config.WhichOneof("config") != "model_config_list" or not config.model_config_list.config:
        raise InputError("holds no model_config_list with a config; add one config { name base_path } a model")
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        if not entry.name or not entry.base_path:
            raise InputError("a config has no name or no base_path; give both")
        if any(character in "/:" or not character.isprintable() or character.isspace() for character in entry.name):
            raise InputError(f"model name {entry.name!a}: use no slash, colon, space or control character")
        if entry.name in models:
            raise InputError(f"model {entry.name} is configured twice; give each a name of its own")
        if entry.model_platform not in ("", "tensorflow"):
            raise InputError(f"model {entry.name}: model_platform {entry.model_platform} is not served; use tensorflow")
        models[entry.name] = ModelConfig(
            name=entry.name,
            base_path=entry.base_path,
            policy=_policy(entry),
            labels=dict(entry.version_labels),
        )
    return list(models.values())


def _policy(entry: Any) -> VersionPolicy:
    policy = entry.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(latest=None)
    if choice == "specific":
        if not policy.specific.versions:
            raise InputError(f"model {entry.name}: the specific version policy names no versions; add versions: N")
        return VersionPolicy(latest=None, specific=tuple(policy.specific.versions))
    # As in TensorFlow Serving, an unset number means one.
    return VersionPolicy(latest=policy.latest.num_versions or 1)


def read_batching(path: str, defaults: Batching) -> Batching:
    """Batching parameters; what the file leaves out stays as in `defaults`.

    As in TensorFlow Serving, whoever gives the file vouches for the models: whichever they are, requests share calls.

    `allowed_batch_sizes` is read and has no effect: a shared call has the rows that queued and no more.

    Raises:
        InputError: the file cannot be read or parsed, or a number in it is out of range.
    """
    message = _parse("--batching-parameters-file", path, protocol.BatchingParameters())
    changes: dict[str, Any] = {"any_model": True}
    for field, attribute, lowest, scale in (
        ("max_batch_size", "max_rows", 1, 1),
        ("batch_timeout_micros", "timeout_seconds", 0, 1e-6),
        ("max_enqueued_batches", "max_queued", 1, 1),
        ("num_batch_threads", "parallel", 1, 1),
    ):
        if message.HasField(field):
            value = getattr(message, field).value
            if value < lowest:
                raise InputError(f"--batching-parameters-file {path}: {field} must be at least {lowest}, got {value}")
            changes[attribute] = value * scale
    return dataclasses.replace(defaults, **changes)


def read_monitoring(path: str) -> str:
    """The path that metrics are served at; "" where the file does not enable them.

    Raises:
        InputError: the file cannot be read or parsed, or its path does not start with a slash.
    """
    config = _parse("--monitoring-config-file", path, protocol.MonitoringConfig()).prometheus_config
    if not config.enable:
        return ""
    if config.path and not config.path.startswith("/"):
        raise InputError(f"--monitoring-config-file {path}: path {config.path!r} must start with /")
    return config.path or METRICS_PATH


def _parse(option: str, path: str, message: Any) -> Any:
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"{option} {path}: cannot be read ({reason})") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise InputError(f"{option} {path}: line {' '.join(str(error).split())}") from error
