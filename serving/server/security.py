"""Who may connect: encryption, client certificates, bearer tokens."""

from __future__ import annotations

import hmac
import pathlib
import ssl
from collections.abc import Mapping
from typing import Any

import grpc

from h2rec_tf.errors import InputError
from serving.server.address import is_public
from serving.server.errors import RequestError
from serving.server.observer import Observer
from serving.server.options import Security

_REFUSAL = RequestError(grpc.StatusCode.UNAUTHENTICATED, "send a valid bearer token in `authorization: Bearer TOKEN`")


_ADMIN_METHODS = frozenset({"/tensorflow.serving.ModelService/HandleReloadConfigRequest"})


class Tokens:
    """The bearer tokens of a file, compared in constant time.

    Args:
        path: the file, one token a line.
        option: what the user calls it, for messages.

    Raises:
        InputError: it cannot be read or holds none.
    """

    def __init__(self, path: str, option: str = "--token-file") -> None:
        lines = _read(option, path).decode("utf-8", "replace").splitlines()
        self._tokens = [line.strip().encode() for line in lines if line.strip()]
        if not self._tokens:
            raise InputError(f"{option} {path}: holds no token; write one a line")

    def shares(self, other: Tokens) -> bool:
        """Whether a token is in both files."""
        return not set(self._tokens).isdisjoint(other._tokens)

    def check(self, authorization: str | None) -> None:
        """Takes the value of an `authorization` header.

        Raises:
            RequestError: UNAUTHENTICATED; no token or a wrong one.
        """
        scheme, _, token = (authorization or "").partition(" ")
        given = token.strip().encode("utf-8", "replace")
        # All are compared, so that time tells nothing of their order.
        matches = [hmac.compare_digest(given, known) for known in self._tokens]
        if scheme.lower() != "bearer" or not any(matches):
            raise _REFUSAL


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Answers calls without a valid token UNAUTHENTICATED.

    Args:
        tokens: the valid ones; None asks for none.
        admin_tokens: those valid for methods that change what is served, and for nothing else; None leaves these
            methods to `tokens`.
        observer: told of refused calls.
        without_token: handlers by method that answer such calls instead; they must not read what is sent.
    """

    def __init__(
        self,
        tokens: Tokens | None,
        admin_tokens: Tokens | None,
        observer: Observer,
        without_token: Mapping[str, grpc.RpcMethodHandler],
    ) -> None:
        self._tokens = tokens
        self._admin_tokens = admin_tokens
        self._observer = observer
        self._without_token = without_token

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Lets a call pass or puts a refusal in its place."""
        is_admin = handler_call_details.method in _ADMIN_METHODS
        tokens = (self._admin_tokens or self._tokens) if is_admin else self._tokens
        if tokens is None:
            return await continuation(handler_call_details)
        try:
            tokens.check(dict(handler_call_details.invocation_metadata).get("authorization"))
        except RequestError as error:
            if open_to_all := self._without_token.get(handler_call_details.method):
                return open_to_all
            refusal = error

            async def refuse(requests: Any, context: Any) -> Any:
                self._observer.end(self._observer.begin("grpc", "", context.peer()), refusal.code, refusal.message)
                await context.abort(refusal.code, refusal.message)

            # As a stream that is not read: gRPC would hold the whole message of a unary call before it calls a handler.
            return grpc.stream_unary_rpc_method_handler(refuse)
        return await continuation(handler_call_details)


def check(security: Security, host: str) -> None:
    """Compares the options with each other and with the address, before anything is loaded.

    Raises:
        InputError: options that need each other are apart, or a public address has no protection.
    """
    if bool(security.certificate) != bool(security.key):
        raise InputError("--tls-certificate and --tls-key go together; give both")
    if security.client_ca and not security.certificate:
        raise InputError("--tls-client-ca needs --tls-certificate and --tls-key")
    protected = security.certificate or security.token_file or security.insecure_public
    if is_public(host) and not protected:
        raise InputError(
            f"--host {host}: other machines could reach it unprotected; give --tls-certificate and --tls-key or "
            "--token-file, keep 127.0.0.1 behind a proxy, or add --insecure-public to accept that"
        )


def check_reload(security: Security, host: str) -> None:
    """Whether HandleReloadConfigRequest may be allowed: whoever may change what is served has the server's rights.

    Raises:
        InputError: those who may only predict could do it too.
    """
    if security.admin_token_file:
        return
    if security.token_file or is_public(host):
        raise InputError(
            "--allow-reload-config: whoever may predict could change what is served; give --admin-token-file with "
            "tokens of its own"
        )


def read_tokens(security: Security) -> tuple[Tokens | None, Tokens | None]:
    """The tokens of callers and of those who change what is served.

    Raises:
        InputError: a file cannot be read or holds none, or one token is in both.
    """
    tokens = Tokens(security.token_file) if security.token_file else None
    admin = Tokens(security.admin_token_file, "--admin-token-file") if security.admin_token_file else None
    if tokens and admin and admin.shares(tokens):
        raise InputError(
            f"--admin-token-file {security.admin_token_file}: a token of it is in --token-file too; give it one of "
            "its own"
        )
    return tokens, admin


def grpc_credentials(security: Security) -> grpc.ServerCredentials | None:
    """Credentials for a gRPC port; None without encryption.

    Raises:
        InputError: a file cannot be read or is not what it should be.
    """
    if not security.certificate:
        return None
    # OpenSSL names the bad file; gRPC would only fail to open the port.
    ssl_context(security)
    return grpc.ssl_server_credentials(
        [(_read("--tls-key", security.key), _read("--tls-certificate", security.certificate))],
        root_certificates=_read("--tls-client-ca", security.client_ca) if security.client_ca else None,
        require_client_auth=bool(security.client_ca),
    )


def ssl_context(security: Security) -> ssl.SSLContext | None:
    """The same for an HTTP port."""
    if not security.certificate:
        return None
    for option, path in (("--tls-certificate", security.certificate), ("--tls-key", security.key)):
        _read(option, path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(security.certificate, security.key)
    except ssl.SSLError as error:
        raise InputError(
            f"--tls-certificate {security.certificate}, --tls-key {security.key}: not a PEM certificate and its key "
            f"({error.reason or error})"
        ) from error
    if security.client_ca:
        _read("--tls-client-ca", security.client_ca)
        try:
            context.load_verify_locations(security.client_ca)
        except ssl.SSLError as error:
            raise InputError(f"--tls-client-ca {security.client_ca}: not a PEM certificate") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read(option: str, path: str) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be read ({error.strerror})") from error
