"""What several requests to Vertex AI do together: find by name, deploy with a share of the traffic, roll back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from h2rec_tf.cloud import requests
from h2rec_tf.cloud.traffic import with_newcomer
from h2rec_tf.cloud.vertex import Vertex, seconds
from h2rec_tf.config import CloudConfig
from h2rec_tf.errors import InputError

# The id that a deploy request gives the model it deploys.
NEW = "0"


def find_endpoint(vertex: Vertex, display_name: str) -> Any:
    """The oldest endpoint with this display name, or None."""
    return _find(vertex, "EndpointServiceClient", "list_endpoints", display_name)


def find_model(vertex: Vertex, display_name: str) -> Any:
    """The oldest model with this display name, or None."""
    return _find(vertex, "ModelServiceClient", "list_models", display_name)


def _find(vertex: Vertex, client: str, method: str, display_name: str) -> Any:
    request = {"parent": vertex.parent, "filter": f'display_name="{display_name}"'}
    found = vertex.read(client, method, request=request)
    return min(found, key=lambda resource: (seconds(resource.create_time), resource.name)) if found else None


def endpoint_named(vertex: Vertex, name: str) -> str:
    """Resource name of an endpoint given by resource name, by number, or by display name.

    Raises:
        InputError: no endpoint has that display name.
    """
    if name.startswith("projects/"):
        return name
    if name.isdigit():
        return f"{vertex.parent}/endpoints/{name}"
    found = find_endpoint(vertex, name)
    if found is None:
        raise InputError(
            f"--endpoint {name}: no endpoint has this display name in {vertex.region}; make it with"
            " `h2rec deploy vertex endpoint`"
        )
    return found.name


def model_name(vertex: Vertex, model: str) -> str:
    """Resource name of a model given by resource name or number, each perhaps with `@version`."""
    return model if model.startswith("projects/") else f"{vertex.parent}/models/{model}"


def get_endpoint(vertex: Vertex, name: str) -> Any:
    """The endpoint with its deployed models and traffic."""
    return vertex.read("EndpointServiceClient", "get_endpoint", name=name)


def by_age(endpoint: Any) -> list[Any]:
    """The endpoint's deployed models, oldest first."""
    return sorted(endpoint.deployed_models, key=lambda model: (seconds(model.create_time), model.id))


def deploy(
    vertex: Vertex,
    endpoint: str,
    *,
    model: str,
    display_name: str,
    machine: requests.Machine,
    traffic: int,
    service_account: str,
    split: Mapping[str, int] | None = None,
) -> Any:
    """Deploys a model with `traffic` percent of the endpoint's requests.

    Args:
        split: the traffic before; None looks it up.
    """
    if split is None:
        split = dict(get_endpoint(vertex, endpoint).traffic_split)
    return vertex.send(
        requests.deploy(
            endpoint,
            model=model,
            display_name=display_name,
            machine=machine,
            split=with_newcomer(split, NEW, traffic),
            service_account=service_account,
        )
    )


def rollback(vertex: Vertex, endpoint: str, *, to: str = "", undeploy: bool = False) -> tuple[str, list[str]]:
    """Gives all traffic to the model deployed before the newest one that has traffic, or to the one that is named.

    Args:
        endpoint: resource name.
        to: id of a deployed model, or "" for the one before.
        undeploy: takes away the models that had traffic and lost it.

    Returns:
        The id that has the traffic now, and the ids that lost it.

    Raises:
        InputError: there is no such model, or none before.
    """
    state = get_endpoint(vertex, endpoint)
    order = [model.id for model in by_age(state)]
    active = [key for key in order if state.traffic_split.get(key)]
    if to and to not in order:
        raise InputError(f"--to {to}: not deployed at this endpoint; deployed, oldest first: {', '.join(order)}")
    if not to:
        before = order[: order.index(active[-1])] if active else []
        if not before:
            raise InputError(
                f"{endpoint}: no model was deployed before the one that has the traffic; name one with --to"
            )
        to = before[-1]
    lost = [key for key in active if key != to]
    vertex.send(requests.set_traffic(endpoint, {**dict.fromkeys(order, 0), to: 100}))
    if undeploy:
        for key in lost:
            vertex.send(requests.undeploy(endpoint, key))
    return to, lost


def push_machine(cloud: CloudConfig) -> requests.Machine:
    """What a pushed model runs on."""
    return requests.Machine(cloud.push.machine_type, cloud.push.min_replicas, cloud.push.max_replicas)


def push_model(vertex: Vertex, *, artifact_uri: str, cloud: CloudConfig) -> tuple[str, str]:
    """Uploads a pushed version as the newest one of its model and deploys it as `cloud.push` says.

    Returns:
        Resource names of the model version and of the endpoint.
    """
    push = cloud.push
    known = find_model(vertex, push.endpoint)
    uploaded = vertex.send(
        requests.upload(
            vertex.parent,
            display_name=push.endpoint,
            artifact_uri=artifact_uri,
            container={"image_uri": push.image},
            parent_model=known.name if known else "",
        )
    )
    model = f"{uploaded.model}@{uploaded.model_version_id}"
    found = find_endpoint(vertex, push.endpoint)
    if found is None:
        found = vertex.send(requests.create_endpoint(vertex.parent, display_name=push.endpoint))
    deploy(
        vertex,
        found.name,
        model=model,
        display_name=f"{push.endpoint}-{artifact_uri.rstrip('/').rsplit('/', 1)[-1]}",
        machine=push_machine(cloud),
        traffic=push.traffic,
        service_account=cloud.service_account,
        split=dict(found.traffic_split),
    )
    return model, found.name
