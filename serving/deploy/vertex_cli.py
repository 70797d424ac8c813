"""`h2rec deploy vertex`: models, endpoints, traffic and batch predictions on Vertex AI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from h2rec_tf.cli.cloud_options import labels_of, vertex_options
from h2rec_tf.config import CloudPushConfig
from h2rec_tf.errors import InputError

if TYPE_CHECKING:
    from h2rec_tf.cloud.requests import Machine
    from h2rec_tf.cloud.vertex import Vertex

_DEFAULTS = CloudPushConfig()
_PERCENT = click.IntRange(0, 100)
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def deploy() -> None:
    """Deploy a pushed model."""


@deploy.group()
def vertex() -> None:
    """Upload, deploy, shift traffic, roll back and predict in batches on Vertex AI.

    Exit code 2: a request is not accepted, or not allowed; 1: Vertex AI failed, is out of quota or out of reach.
    """


def _machine_options(command: Command) -> Command:
    decorated: Any = command
    for option in (
        click.option("--accelerator-count", default=1, type=click.IntRange(min=1), help="Accelerators a machine [1]."),
        click.option("--accelerator-type", default="", help="As NVIDIA_TESLA_T4 [none]."),
        click.option("--max-replicas", default=1, type=click.IntRange(min=1), help="Machines at the most [1]."),
        click.option("--min-replicas", default=1, type=click.IntRange(min=1), help="Machines at the least [1]."),
        click.option("--machine-type", default=_DEFAULTS.machine_type, show_default=True, help="Of each machine."),
    ):
        decorated = option(decorated)
    return decorated


def _machine(machine: dict[str, Any]) -> Machine:
    from h2rec_tf.cloud.requests import Machine

    return Machine(**machine)


@vertex.command()
@vertex_options
@click.option("--artifact-uri", required=True, metavar="URI", help="gs:// directory of the SavedModel; see --server.")
@click.option("--name", default=_DEFAULTS.endpoint, show_default=True, help="Display name of the model.")
@click.option("--image", default=_DEFAULTS.image, show_default=True, help="Container that serves it.")
@click.option("--server", is_flag=True, help="--image is h2rec's own server; the URI is a folder of versions.")
@click.option("--parent-model", default="", metavar="MODEL", help="Make it a version of this model [a new model].")
@click.option("--alias", "aliases", multiple=True, help="Name of the version; repeat for more.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Of the model; repeat for more.")
def upload(
    vertex: Vertex,
    artifact_uri: str,
    name: str,
    image: str,
    server: bool,
    parent_model: str,
    aliases: tuple[str, ...],
    labels: tuple[str, ...],
) -> None:
    """Put a pushed SavedModel into the model registry."""
    from h2rec_tf.cloud import requests
    from h2rec_tf.cloud.deployment import model_name

    if server and image == _DEFAULTS.image:
        raise InputError("--server needs --image: the image built from serving/deploy/docker/server.Dockerfile")
    answer = vertex.send(
        requests.upload(
            vertex.parent,
            display_name=name,
            artifact_uri=artifact_uri,
            container=requests.own_server(image) if server else {"image_uri": image},
            parent_model=model_name(vertex, parent_model) if parent_model else "",
            aliases=aliases,
            labels=labels_of(labels),
        )
    )
    if answer is not None:
        click.echo(f"{answer.model}@{answer.model_version_id}")


@vertex.command()
@vertex_options
@click.option("--name", default=_DEFAULTS.endpoint, show_default=True, help="Display name of the endpoint.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Of the endpoint; repeat for more.")
def endpoint(vertex: Vertex, name: str, labels: tuple[str, ...]) -> None:
    """Make an endpoint, to which models are deployed."""
    from h2rec_tf.cloud import requests

    answer = vertex.send(requests.create_endpoint(vertex.parent, display_name=name, labels=labels_of(labels)))
    if answer is not None:
        click.echo(answer.name)


@vertex.command("deploy")
@vertex_options
@click.option("--endpoint", required=True, help="Display name, number or resource name.")
@click.option("--model", required=True, help="Number or resource name, with @version for one that is not the default.")
@click.option("--name", default=_DEFAULTS.endpoint, show_default=True, help="Display name of the deployed model.")
@click.option("--traffic", default=100, show_default=True, type=_PERCENT, help="Percent of the endpoint's requests.")
@click.option("--service-account", default="", help="The model runs as this [the project's default].")
@_machine_options
def deploy_command(
    vertex: Vertex,
    endpoint: str,
    model: str,
    name: str,
    traffic: int,
    service_account: str,
    **machine: Any,
) -> None:
    """Deploy a model to an endpoint, with a share of its traffic; the models there share the rest as before.

    A dry run looks the endpoint up, as its traffic is part of the request, unless the share is 100.
    """
    from h2rec_tf.cloud import deployment

    target = deployment.endpoint_named(vertex, endpoint)
    answer = deployment.deploy(
        vertex,
        target,
        model=deployment.model_name(vertex, model),
        display_name=name,
        machine=_machine(machine),
        traffic=traffic,
        service_account=service_account,
        # All traffic needs no knowledge of what had it before.
        split={} if traffic == 100 else None,
    )
    if answer is not None:
        click.echo(f"deployed model {answer.deployed_model.id} at {target}")


@vertex.command()
@vertex_options
@click.option("--endpoint", required=True, help="Display name, number or resource name.")
@click.option("--split", "parts", required=True, multiple=True, metavar="ID=PERCENT", help="Repeat; they sum to 100.")
def traffic(vertex: Vertex, endpoint: str, parts: tuple[str, ...]) -> None:
    """Set the shares of the deployed models, by the ids that `status` shows."""
    from h2rec_tf.cloud import deployment, requests
    from h2rec_tf.cloud.traffic import parsed

    split = parsed(parts)
    if vertex.send(requests.set_traffic(deployment.endpoint_named(vertex, endpoint), split)) is not None:
        click.echo(", ".join(f"{key}: {percent} %" for key, percent in split.items()))


@vertex.command()
@vertex_options
@click.option("--endpoint", required=True, help="Display name, number or resource name.")
@click.option("--to", default="", metavar="ID", help="Deployed model [the one before the newest that has traffic].")
@click.option("--undeploy", is_flag=True, help="Also take away the models that lose their traffic.")
def rollback(vertex: Vertex, endpoint: str, to: str, undeploy: bool) -> None:
    """Give all traffic back to the model before. A dry run looks the endpoint up."""
    from h2rec_tf.cloud import deployment

    target = deployment.endpoint_named(vertex, endpoint)
    active, lost = deployment.rollback(vertex, target, to=to, undeploy=undeploy)
    if not vertex.show:
        gone = f"; {'undeployed' if undeploy else 'without traffic'}: {', '.join(lost)}" if lost else ""
        click.echo(f"{active}: 100 %{gone}")


@vertex.command("batch-predict")
@vertex_options
@click.option("--model", required=True, help="Number or resource name, with @version for one that is not the default.")
@click.option("--source", required=True, multiple=True, metavar="URI", help="gs:// JSON Lines; repeat for more.")
@click.option("--destination", required=True, metavar="URI", help="gs:// prefix of the predictions.")
@click.option("--name", default="h2rec-batch", show_default=True, help="Display name of the job.")
@click.option("--service-account", default="", help="The job runs as this [the project's default].")
@_machine_options
def batch_predict(
    vertex: Vertex,
    model: str,
    source: tuple[str, ...],
    destination: str,
    name: str,
    service_account: str,
    **machine: Any,
) -> None:
    """Recommend for files of histories: one instance, as {"history": ["B001", ""]}, a line."""
    from h2rec_tf.cloud import requests
    from h2rec_tf.cloud.deployment import model_name

    answer = vertex.send(
        requests.batch_predict(
            vertex.parent,
            display_name=name,
            model=model_name(vertex, model),
            source=source,
            destination=destination,
            machine=_machine(machine),
            service_account=service_account,
        )
    )
    if answer is not None:
        click.echo(answer.name)


@vertex.command()
@vertex_options
@click.option("--endpoint", required=True, help="Display name, number or resource name.")
def status(vertex: Vertex, endpoint: str) -> None:
    """Show the deployed models of an endpoint, oldest first, with their traffic."""
    from h2rec_tf.cloud import deployment

    state = deployment.get_endpoint(vertex, deployment.endpoint_named(vertex, endpoint))
    click.echo(f"{state.name}  {state.display_name}")
    for model in deployment.by_age(state):
        share = state.traffic_split.get(model.id, 0)
        click.echo(f"  {model.id}  {share:>3} %  {model.display_name}  {model.model}")
