"""Google Cloud's errors as one line with a remedy."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from h2rec_tf.errors import H2RecError, InputError


class VertexError(H2RecError):
    """Vertex AI failed, refused for quota or cannot be reached: for a reason outside the request."""

    exit_code = 1


# Exception of `google.api_core.exceptions` -> what it means to a user, remedy. The request itself is at fault.
_REFUSED = {
    "PermissionDenied": ("permission denied", "grant the account roles/aiplatform.user on the project"),
    "Unauthenticated": ("not signed in", "run `gcloud auth application-default login`"),
    "NotFound": ("not found", "check project, region and resource name"),
    "AlreadyExists": ("exists already", "choose another name"),
    "InvalidArgument": ("not accepted", "correct the named argument"),
    "FailedPrecondition": ("not possible now", "correct what it names and try again"),
}
# The service is at fault, or busy.
_FAILED = {
    "ResourceExhausted": ("quota exceeded", "wait, use fewer or other machines, or ask for more quota"),
    "ServiceUnavailable": ("not available", "check the network and the region, then try again"),
    "DeadlineExceeded": ("no answer in time", "check with `status` whether it went through before trying again"),
}
# REST answers carry HTTP's classes, gRPC ones their subclasses.
_SAME = {
    "Forbidden": "PermissionDenied",
    "Unauthorized": "Unauthenticated",
    "Conflict": "AlreadyExists",
    "BadRequest": "InvalidArgument",
    "TooManyRequests": "ResourceExhausted",
    "GatewayTimeout": "DeadlineExceeded",
}


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Inside the block errors of the Google Cloud libraries come out as one line that starts with `what`.

    Raises:
        InputError: the request was refused for what it says, or there are no credentials.
        VertexError: the service failed, has no quota left, or cannot be reached.
    """
    import requests
    from google.api_core import exceptions
    from google.auth import exceptions as auth_exceptions

    try:
        yield
    except exceptions.GoogleAPICallError as error:
        name = _SAME.get(type(error).__name__, type(error).__name__)
        # REST puts verb and URL before the server's words.
        said = re.sub(r"^[A-Z]+ https?://\S+: ", "", " ".join(str(error.message).split()))
        if name in _REFUSED:
            meaning, remedy = _REFUSED[name]
            raise InputError(f"{what}: {meaning}: {said}; {remedy}") from error
        meaning, remedy = _FAILED.get(name, ("failed", "try again later"))
        raise VertexError(f"{what}: {meaning}: {said}; {remedy}") from error
    except auth_exceptions.DefaultCredentialsError as error:
        raise InputError(
            f"{what}: no Google Cloud credentials; run `gcloud auth application-default login`, set"
            " GOOGLE_APPLICATION_CREDENTIALS to a key file, or look at the request with --dry-run"
        ) from error
    except auth_exceptions.GoogleAuthError as error:
        raise InputError(f"{what}: the credentials were not accepted: {error}; sign in again") from error
    except (exceptions.RetryError, requests.ConnectionError, requests.Timeout, TimeoutError) as error:
        raise VertexError(f"{what}: Vertex AI cannot be reached; check the network and --region") from error
