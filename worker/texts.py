"""Encoded texts, kept for as long as there is room: prompts come back, and the empty one comes with most of them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from imagegen.v1.common_pb2 import CacheStatus


class EncodedTexts(Protocol):
    """What a text encoder makes of some texts."""

    @property
    def size_bytes(self) -> int:
        """Memory it holds."""

    def take(self, index: Sequence[int]) -> "EncodedTexts":
        """Some of the texts."""


Texts = TypeVar("Texts", bound=EncodedTexts)


class TextCache(Generic[Texts]):
    """A text encoder that remembers. Used on the device thread; `status` may be asked from any other.

    Args:
        encode: the text encoder.
        sizes: how many texts it is compiled for at a time, ascending, 1 the first.
        max_bytes: memory that what is remembered may hold; the least recently used goes first.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Texts], sizes: Sequence[int], max_bytes: int) -> None:
        self._encode = encode
        self._sizes = sizes
        self._status = CacheStatus(name="text", limit_bytes=max_bytes)
        self._kept: OrderedDict[str, Texts] = OrderedDict()

    def encode(self, texts: Iterable[str]) -> dict[str, Texts]:
        """Each text encoded, by itself; those that are not remembered are encoded together."""
        wanted = list(dict.fromkeys(texts))
        found = {text: self._kept[text] for text in wanted if text in self._kept}
        self._status.hits += len(found)
        self._status.misses += len(wanted) - len(found)
        for text in found:
            self._kept.move_to_end(text)
        for together in _cut([text for text in wanted if text not in found], self._sizes):
            encoded = self._encode(together)
            for place, text in enumerate(together):
                found[text] = encoded if len(together) == 1 else encoded.take([place])  # type: ignore[assignment]  # take gives what it was called on
                self._keep(text, found[text])
        return found

    def status(self) -> CacheStatus:
        """How it is doing."""
        status = CacheStatus()
        status.CopyFrom(self._status)
        return status

    def _keep(self, text: str, encoded: Texts) -> None:
        self._kept[text] = encoded
        self._status.size_bytes += encoded.size_bytes
        while self._status.size_bytes > self._status.limit_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._status.size_bytes -= dropped.size_bytes
        self._status.entries = len(self._kept)


def _cut(texts: Sequence[str], sizes: Sequence[int]) -> Iterator[Sequence[str]]:
    """The texts in runs of the given sizes, as few as possible."""
    while texts:
        size = max(size for size in sizes if size <= len(texts))
        yield texts[:size]
        texts = texts[size:]
