"""Where a server may listen."""

from __future__ import annotations

import ipaddress
import socket

from h2rec_tf.errors import InputError


def is_public(host: str) -> bool:
    """Whether other machines can reach a server that listens there.

    Args:
        host: name or address to listen on.

    Raises:
        InputError: the name is unknown.
    """
    try:
        found = {ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise InputError(f"--host {host}: unknown name or address ({error.strerror}); use 127.0.0.1") from error
    return not all(address.is_loopback for address in found)


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening TCP socket.

    Args:
        host: name or address.
        port: 0 takes a free one.
        option: what the user calls the port, for the message.

    Raises:
        InputError: the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise InputError(
            f"{option} {port}: cannot listen on {joined(host, port)} ({error.strerror}); is it taken? "
            f"{option} 0 picks a free one"
        ) from error


def joined(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
