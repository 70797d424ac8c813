"""The served models by name, and their change as a whole while requests run."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from h2rec_tf.errors import H2RecError, InputError
from serving.server.errors import RequestError, one_line
from serving.server.model_manager import ModelManager, VersionStatus
from serving.server.policy import ModelConfig
from serving.server.servable import Servable

logger = logging.getLogger("h2rec.serving")


class Models:
    """Finds the servable that a request names.

    Args:
        make: makes the manager of a model, not yet started.
    """

    def __init__(self, make: Callable[[ModelConfig], ModelManager]) -> None:
        self._make = make
        self._managers: dict[str, ModelManager] = {}
        self._labels: dict[str, Mapping[str, int]] = {}
        self._changing = threading.Lock()

    def configure(self, configs: Sequence[ModelConfig]) -> None:
        """Serves these models and no others. A change that cannot be made in full is not made at all.

        Models that stay go on answering; a new one answers once it is loaded; one that is gone is closed after its
        running requests.

        Raises:
            InputError: a model has no version that loads, or a label names a version that is not served.
        """
        with self._changing:
            before = self._managers
            managers = {config.name: self._manager_of(config) for config in configs}
            for config in configs:
                # All are looked at before the first is loaded, which takes seconds each.
                _check_labels(config, managers[config.name].expected(config.policy))
            policies = {name: manager.policy for name, manager in before.items()}
            after: dict[str, ModelManager] = {}
            with contextlib.ExitStack() as undo:
                for config in configs:
                    manager = managers[config.name]
                    if manager is not before.get(config.name):
                        manager.start()
                        undo.callback(manager.stop)
                    elif manager.policy != config.policy:
                        undo.callback(self._set_policy, manager, policies[config.name])
                        self._set_policy(manager, config.policy)
                    after[config.name] = manager
                    _check_labels(config, manager.versions())
                undo.pop_all()
            self._labels = {config.name: dict(config.labels) for config in configs}
            self._managers = after
            for name, manager in before.items():
                if after.get(name) is not manager:
                    manager.stop()
                    logger.info("model %s is no longer served", name)

    def refresh(self) -> None:
        """Looks for new versions of every model once.

        Raises:
            InputError: a model's folder is absent.
        """
        for manager in self._managers.values():
            manager.refresh()

    @contextlib.contextmanager
    def lease(self, spec: Any) -> Iterator[Servable]:
        """The servable for one request, which stays open until the request ends.

        Args:
            spec: a ModelSpec with a name and at most one of version and version_label.

        Raises:
            RequestError: INVALID_ARGUMENT or NOT_FOUND, as TensorFlow Serving answers.
        """
        if not spec.name:
            raise RequestError.invalid("ModelSpec has no name specified.")
        version = spec.version.value if spec.HasField("version") else None
        if spec.version_label:
            version = self._labels.get(spec.name, {}).get(spec.version_label)
            if version is None:
                raise RequestError.invalid(f"Unrecognized servable version label: {spec.version_label}")
        manager = self._managers.get(spec.name)
        if manager is None:
            wanted = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
            raise RequestError.not_found(f"Servable not found for request: {wanted}")
        with manager.lease(version) as servable:
            yield servable

    def statuses(self, spec: Any) -> dict[int, VersionStatus]:
        """State of the versions that a ModelSpec names, newest first.

        Raises:
            RequestError: NOT_FOUND; there is none.
        """
        manager = self._managers.get(spec.name)
        statuses = manager.statuses() if manager else {}
        version = spec.version.value if spec.HasField("version") else None
        if spec.version_label:
            version = self._labels.get(spec.name, {}).get(spec.version_label)
            if version is None:
                raise RequestError.invalid(f"Unrecognized servable version label: {spec.version_label}")
        if version is not None:
            if version not in statuses:
                raise RequestError.not_found(f"Could not find version {version} of model {spec.name}")
            return {version: statuses[version]}
        if not statuses:
            raise RequestError.not_found(f"Could not find any versions of model {spec.name}")
        return dict(sorted(statuses.items(), reverse=True))

    def served(self) -> dict[str, list[int]]:
        """The versions of each model that answer, newest first."""
        return {name: manager.versions() for name, manager in self._managers.items()}

    def all_statuses(self) -> dict[str, dict[int, VersionStatus]]:
        """State of every version of every model."""
        return {name: manager.statuses() for name, manager in self._managers.items()}

    def stop(self) -> None:
        """Stops following the folders and closes what is loaded as soon as no request uses it."""
        with self._changing:
            for manager in self._managers.values():
                manager.stop()

    def _manager_of(self, config: ModelConfig) -> ModelManager:
        manager = self._managers.get(config.name)
        return manager if manager and manager.model_dir == config.base_path else self._make(config)

    @staticmethod
    def _set_policy(manager: ModelManager, policy: Any) -> None:
        manager.policy = policy
        try:
            manager.refresh()
        except (H2RecError, tf.errors.OpError) as error:
            raise InputError(f"model {manager.name}: {one_line(error)}") from error


def _check_labels(config: ModelConfig, served: Sequence[int]) -> None:
    for label, version in config.labels.items():
        if version not in served:
            raise InputError(
                f"model {config.name}: label {label} names version {version}, which is not served "
                f"({', '.join(map(str, served))} are); push it or change the label or the version policy"
            )
