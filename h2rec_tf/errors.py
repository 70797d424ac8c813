"""Errors a user can mend. The command line prints their text as one line and exits with code 2."""


class H2RecError(Exception):
    """Base of all errors that name a cause outside the code and a remedy."""

    exit_code = 2


class NotBlessedError(H2RecError):
    """All went well, but the model did not pass the gate."""

    exit_code = 3


class InputError(H2RecError, ValueError):
    """A file, row, column, argument or configuration value is not usable; the message names it and the remedy."""


class EmptyFileError(InputError):
    """A file of data has no row: nothing for itself, one of many in a folder."""


class MissingDependencyError(H2RecError, ImportError):
    """An optional package is not installed; the message gives the pip command."""
