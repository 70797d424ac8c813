"""The error of one request: a canonical status code and one line for the caller."""

from __future__ import annotations

import re

import grpc
import tensorflow as tf

# TensorFlow's error codes are the canonical ones that gRPC uses, number for number.
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_LONGEST = 400


class RequestError(Exception):
    """A request cannot be answered.

    Args:
        code: the canonical status code.
        message: what was wrong; becomes one line of bounded length, as it may quote the request.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        # Half a surrogate pair, which JSON can quote, has no place in an answer.
        line = " ".join(message.encode(errors="backslashreplace").decode().split())
        self.code = code
        self.message = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
        super().__init__(self.message)

    @classmethod
    def invalid(cls, message: str) -> RequestError:
        """The caller's arguments are wrong, whatever the state of the server."""
        return cls(grpc.StatusCode.INVALID_ARGUMENT, message)

    @classmethod
    def failed_precondition(cls, message: str) -> RequestError:
        """The loaded model cannot answer such a request."""
        return cls(grpc.StatusCode.FAILED_PRECONDITION, message)

    @classmethod
    def unimplemented(cls, message: str) -> RequestError:
        """A method of the API that this server does not have."""
        return cls(grpc.StatusCode.UNIMPLEMENTED, message)

    @classmethod
    def not_found(cls, message: str) -> RequestError:
        """No such model or version."""
        return cls(grpc.StatusCode.NOT_FOUND, message)

    @classmethod
    def unavailable(cls, message: str) -> RequestError:
        """Too much to do, or not ready; the same request may be answered later."""
        return cls(grpc.StatusCode.UNAVAILABLE, message)

    @classmethod
    def deadline(cls) -> RequestError:
        """The time that the request had is over."""
        return cls(grpc.StatusCode.DEADLINE_EXCEEDED, "the request's deadline passed before it was answered")

    @classmethod
    def answer_too_large(cls, size: int, most: int) -> RequestError:
        """The answer has at least `size` bytes, and a message at most `most`."""
        return cls(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the answer has {size} bytes, at most {most} are sent: ask for fewer rows or items",
        )

    @classmethod
    def from_op_error(cls, error: tf.errors.OpError) -> RequestError:
        """An error raised by a TensorFlow op while the signature ran."""
        return cls(_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), one_line(error))


def one_line(error: BaseException) -> str:
    """The first line of an error's text, without the graph node that TensorFlow appends; the type's name if empty."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    lines = [line.strip() for line in (text or "").splitlines()]
    line = next((line for line in lines if line and line != "Graph execution error:"), type(error).__name__)
    # `tf.debugging.assert_*`: the model's own words come first, the compared tensors after them.
    asserted = re.match(r"assertion failed: \[([^\[\]]+)\]", line)
    return asserted.group(1) if asserted else line
