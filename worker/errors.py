"""The model library's errors as what clients are told."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from imagegen.v1.common_pb2 import Phase
from kandinsky.errors import InputError, NonFiniteError
from serving.errors import InvalidFieldError, NonFiniteOutputError


@contextmanager
def told_to_client(fields: Mapping[str, str], phase: Phase.ValueType) -> Iterator[None]:
    """Translate the model library's errors that a request can cause.

    Args:
        fields: from the library's names of arguments to the request's fields; what is not there keeps its name.
        phase: the phase the request is in.
    """
    try:
        yield
    except InputError as error:
        raise InvalidFieldError(fields.get(error.field, error.field), error.description) from error
    except NonFiniteError as error:
        raise NonFiniteOutputError(phase) from error
