"""Options that several commands have: where a server listens and to whom, and how a client reaches it."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from h2rec_tf.cli.outputs import LOG_FILE
from h2rec_tf.errors import InputError
from serving.server.address import listen
from serving.server.options import MEBIBYTE, HttpOptions, Limits, Security

if TYPE_CHECKING:
    from serving.client import Client, Connection
    from serving.retrieval_service.client import RetrievalClient

# Seconds in which a server that runs has answered.
_AT_ONCE = 0.5
_PORT = click.IntRange(0, 65535)


def listening(defaults: Any) -> Callable[[Any], Any]:
    """Adds the options of a server; `listening_values` makes fields of them.

    Args:
        defaults: an object with `host`, `port`, `http`, `limits` and `grace_seconds`.
    """
    options = (
        click.option("--host", default=defaults.host, show_default=True, help="Address to listen on."),
        click.option("--port", default=defaults.port, show_default=True, type=_PORT, help="gRPC. 0: a free one."),
        click.option(
            "--rest-port", type=_PORT, show_default="--port + 1", help="REST, health and metrics. 0: a free one."
        ),
        click.option("--no-rest", is_flag=True, help="gRPC alone."),
        click.option(
            "--health-port", type=_PORT, help="Also /healthz and /readyz alone, for probes: no encryption, no token."
        ),
        click.option(
            "--max-connections",
            type=click.IntRange(min=1),
            show_default="twice the requests at a time",
            help="Open HTTP connections; the one that waits longest makes room for a new one.",
        ),
        click.option(
            "--max-peer-connections",
            type=click.IntRange(min=1),
            show_default="half of the requests at a time",
            help="The same for one address.",
        ),
        click.option(
            "--keep-alive-seconds",
            default=defaults.http.keep_alive_seconds,
            show_default=True,
            type=click.FloatRange(min=0, min_open=True),
            help="Time that an HTTP connection may wait for its next request; more than a balancer in front keeps it.",
        ),
        click.option(
            "--tls-certificate", default="", metavar="FILE", help="PEM file: encrypt gRPC and REST; with --tls-key."
        ),
        click.option("--tls-key", default="", metavar="FILE", help="PEM file: the certificate's private key."),
        click.option(
            "--tls-client-ca", default="", metavar="FILE", help="PEM file: callers need a certificate it has signed."
        ),
        click.option(
            "--token-file", default="", metavar="FILE", help="Callers need one of its bearer tokens, one a line."
        ),
        click.option("--insecure-public", is_flag=True, help="Allow a public --host with none of these."),
        click.option(
            "--access-log",
            default="",
            type=LOG_FILE,
            metavar="FILE",
            help="One JSON line a request, without histories; - is stderr.",
        ),
        click.option(
            "--max-request-mib",
            default=defaults.limits.request_bytes // MEBIBYTE,
            show_default=True,
            type=click.IntRange(1, 2048),
            help="Largest request decoded, all of its inputs together.",
        ),
        click.option(
            "--max-held-mib",
            default=defaults.limits.held_bytes // MEBIBYTE,
            show_default=True,
            type=click.IntRange(min=1),
            help="The same for all requests at a time; more are told to try again.",
        ),
        click.option(
            "--max-list",
            default=defaults.limits.list_length,
            show_default=True,
            type=click.IntRange(min=1),
            help="Longest row of any other input of strings than a history, such as `exclude`.",
        ),
        click.option(
            "--grace-seconds",
            default=defaults.grace_seconds,
            show_default=True,
            type=click.FloatRange(min=0),
            help="Time for running requests at shutdown.",
        ),
    )
    return lambda command: _with(command, options)


def listening_values(given: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Fields of a server's options from what `listening` was given.

    Args:
        given: values by name.
        limits: those that `listening` has no options for.
    """
    port, rest_port = given["port"], given["rest_port"]
    if rest_port is None:
        rest_port = port + 1 if 0 < port < 65535 else 0
    return {
        "host": given["host"],
        "port": port,
        "rest_port": None if given["no_rest"] else rest_port,
        "http": HttpOptions(
            health_port=given["health_port"],
            connections=given["max_connections"] or 0,
            peer_connections=given["max_peer_connections"] or 0,
            keep_alive_seconds=given["keep_alive_seconds"],
        ),
        "security": Security(
            certificate=given["tls_certificate"],
            key=given["tls_key"],
            client_ca=given["tls_client_ca"],
            token_file=given["token_file"],
            admin_token_file=given.get("admin_token_file", ""),
            insecure_public=given["insecure_public"],
        ),
        "access_log": given["access_log"],
        "limits": dataclasses.replace(
            limits,
            request_bytes=given["max_request_mib"] * MEBIBYTE,
            held_bytes=given["max_held_mib"] * MEBIBYTE,
            list_length=given["max_list"],
        ),
        "grace_seconds": given["grace_seconds"],
    }


def allow_op(command: Any) -> Any:
    """Adds `--allow-op`; the command takes `allow_ops: tuple[str, ...]`."""
    return click.option(
        "--allow-op",
        "allow_ops",
        multiple=True,
        metavar="OP",
        help="A TensorFlow op that models may hold although it reaches files, processes or machines; repeat for more.",
    )(command)


def check_ports(options: Any) -> None:
    """Finds a taken port before the seconds that TensorFlow takes to import, and the models to load.

    Raises:
        InputError: one is taken, or may not be listened on.
    """
    ports = (("--port", options.port), ("--rest-port", options.rest_port), ("--health-port", options.http.health_port))
    for option, port in ports:
        if port:
            listen(options.host, port, option).close()


def connecting(target: str) -> Callable[[Any], Any]:
    """Adds the options of a client; `connection_of` makes a connection of them.

    Args:
        target: the default `host:port`.
    """
    options = (
        click.option("--target", default=target, show_default=True, metavar="HOST:PORT", help="The server."),
        click.option("--tls", is_flag=True, help="The server's connection is encrypted."),
        click.option("--ca", default="", metavar="FILE", help="PEM file of the authority that signed its certificate."),
        click.option(
            "--certificate", default="", metavar="FILE", help="PEM file of your certificate, where it is asked for."
        ),
        click.option("--key", default="", metavar="FILE", help="PEM file of its private key."),
        click.option("--token-file", default="", metavar="FILE", help="File whose first line is the bearer token."),
    )
    return lambda command: _with(command, options)


def waiting(command: Any) -> Any:
    """Adds `--wait`; see `wait_for`."""
    return click.option(
        "--wait",
        default=30.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Seconds to wait for a server that is starting.",
    )(command)


def wait_for(client: Client | RetrievalClient, target: str, seconds: float) -> None:
    """Waits until a server answers, and says so; where none does in time, the call that follows tells why."""
    if not seconds or client.wait(min(_AT_ONCE, seconds)):
        return
    click.echo(f"waiting for a server at {target}, up to {seconds:g} s (--wait) ...", err=True)
    client.wait(seconds)


def connection_of(given: dict[str, Any]) -> Connection:
    """Takes what `connecting` added out of a command's arguments."""
    from serving.client import Connection

    path = given.pop("token_file")
    values = {key: given.pop(key) for key in ("target", "tls", "ca", "certificate", "key")}
    return Connection(**values, token=token(path) if path else "")


def token(path: str) -> str:
    """The first line of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"token file {path}: cannot be read ({error})") from error


def comma_separated(text: str) -> list[str]:
    """Splits on commas; a name that holds one is put in double quotes, as in CSV."""
    return [name for row in csv.reader([text], skipinitialspace=True) for name in map(str.strip, row) if name]


def _with(command: Any, options: tuple[Any, ...]) -> Any:
    for option in reversed(options):
        command = option(command)
    return command
