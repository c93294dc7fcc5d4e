"""Loads `tokenizers` objects, turning the library's exceptions into this library's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer

from kandinsky.errors import ConfigError, CorruptFileError


@contextmanager
def corrupt_unless_read(*paths: Path) -> Iterator[None]:
    """Whatever the body raises means that one of the files is not what its name says."""
    try:
        yield
    except Exception as error:
        files = " or ".join(str(path) for path in paths)
        raise CorruptFileError(f"{files} cannot be read as a tokenizer ({error}); download it again") from None


def read_tokenizer_json(path: Path) -> Tokenizer:
    """The tokenizer that the file describes in full."""
    with corrupt_unless_read(path):
        return Tokenizer.from_file(str(path))


def token_id(backend: Tokenizer, token: str, role: str) -> int:
    """The id of a token that the tokenizer cannot do without.

    Raises:
        ConfigError: the vocabulary does not hold it.
    """
    found = backend.token_to_id(token)
    if found is None:
        raise ConfigError(f"{role} is {token!r}, which the tokenizer's vocabulary does not hold")
    return found
