"""Where a server may listen."""

from __future__ import annotations

import ipaddress
import socket

from h2rec_tf.errors import InputError


def check_address(host: str, *, insecure: bool) -> None:
    """Refuses an address that other machines can reach, unless the user says so: the traffic is not encrypted.

    Args:
        host: name or address to listen on.
        insecure: the user accepts that.

    Raises:
        InputError: the name is unknown, or an address is not loopback and `insecure` is not given.
    """
    try:
        found = {ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise InputError(f"--host {host}: unknown name or address ({error.strerror}); use 127.0.0.1") from error
    if not insecure and not all(address.is_loopback for address in found):
        raise InputError(
            f"--host {host}: other machines could reach it and the connection is not encrypted; "
            "keep 127.0.0.1 behind a proxy, or add --insecure to accept that"
        )
