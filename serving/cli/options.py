"""Options that several commands have: where a server listens and to whom, and how a client reaches it."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from h2rec_tf.errors import InputError
from serving.server.options import MEBIBYTE, Limits, Security

if TYPE_CHECKING:
    from serving.client import Connection

_PORT = click.IntRange(0, 65535)


def listening(defaults: Any) -> Callable[[Any], Any]:
    """Adds the options of a server; `listening_values` makes fields of them.

    Args:
        defaults: an object with `host`, `port`, `limits` and `grace_seconds`.
    """
    options = (
        click.option("--host", default=defaults.host, show_default=True, help="Address to listen on."),
        click.option("--port", default=defaults.port, show_default=True, type=_PORT, help="gRPC. 0: a free one."),
        click.option(
            "--rest-port", type=_PORT, show_default="--port + 1", help="REST, health and metrics. 0: a free one."
        ),
        click.option("--no-rest", is_flag=True, help="gRPC alone."),
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
            "--access-log", default="", metavar="FILE", help="One JSON line a request, without histories; - is stderr."
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
        "security": Security(
            certificate=given["tls_certificate"],
            key=given["tls_key"],
            client_ca=given["tls_client_ca"],
            token_file=given["token_file"],
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
