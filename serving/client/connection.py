"""How a client reaches a server: address, encryption, token, retries."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import grpc

from h2rec_tf.errors import InputError
from serving.client.results import ServerError

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where a server is, and what it wants to see.

    Attributes:
        target: `host:port`.
        ca: PEM file of the authority that signed the server's certificate; encrypts. "": no encryption, unless `tls`.
        tls: encrypt, and trust the authorities that this machine trusts.
        certificate: PEM file of the client's own certificate (mutual TLS); with `key`.
        key: PEM file of its private key.
        token: bearer token.
        attempts: times that a call is sent while the server is unavailable, 1..5; the time between doubles, up to a
            second. The deadline holds for all attempts together.
    """

    target: str
    ca: str = ""
    tls: bool = False
    certificate: str = ""
    key: str = ""
    token: str = ""
    attempts: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 5:
            raise InputError(f"attempts must be between 1 and 5, got {self.attempts}")
        if bool(self.certificate) != bool(self.key):
            raise InputError("a client certificate and its key go together; give both")

    def credentials(self) -> grpc.ChannelCredentials | None:
        """None without encryption.

        Raises:
            InputError: a file cannot be read.
        """
        if not (self.tls or self.ca or self.certificate):
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca), private_key=_read(self.key), certificate_chain=_read(self.certificate)
        )

    def metadata(self) -> list[tuple[str, str]]:
        """What goes with each call."""
        return [("authorization", f"Bearer {self.token}")] if self.token else []

    def channel_options(self) -> list[tuple[str, Any]]:
        """One channel holds one connection; it reconnects by itself."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if self.attempts > 1:
            # All of the API's methods that are called here only read, so each may be sent again.
            policy = {
                "maxAttempts": self.attempts,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            }
            config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
            options += [("grpc.enable_retries", 1), ("grpc.service_config", json.dumps(config))]
        return options

    def open(self, channels: Any) -> Any:
        """A channel to the server.

        Args:
            channels: `grpc`, or `grpc.aio` for the running event loop.

        Raises:
            InputError: a file cannot be read.
        """
        credentials = self.credentials()
        if credentials is None:
            return channels.insecure_channel(self.target, self.channel_options())
        return channels.secure_channel(self.target, credentials, self.channel_options())

    def error(self, error: grpc.RpcError, timeout: float) -> ServerError:
        """What a failed call means for the user."""
        code, details = error.code(), " ".join((error.details() or "").split())
        if code is grpc.StatusCode.UNAVAILABLE:
            message = (
                f"no model server answers at {self.target} ({details}); start one with "
                "`h2rec serve --model-dir DIR` or give its address with --target HOST:PORT"
            )
        elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
            message = f"the model server at {self.target} did not answer within {timeout:g} s; allow it more time"
        else:
            message = f"the model server at {self.target} refused the request ({code.name}): {details}"
        return ServerError(code, message)


def _read(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
