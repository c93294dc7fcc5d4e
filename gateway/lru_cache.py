"""A cache in memory, bounded by the bytes it holds; what has not been asked for longest goes first."""

from collections import OrderedDict

from imagegen.v1.common_pb2 import CacheStatus

# What an entry takes besides its key and value, about.
_ENTRY_BYTES = 200


class LruCache:
    """Bytes by key."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        self._name = name
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._hits = 0
        self._misses = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def __repr__(self) -> str:
        return f"LruCache({self._name}, {len(self._entries)} entries, {self._size_bytes} of {self._limit_bytes} bytes)"

    def __contains__(self, key: bytes) -> bool:
        """Whether a key is held; counts as no lookup."""
        return key in self._entries

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, if it is held."""
        value = self._entries.get(key)
        if value is None:
            self._misses += 1
            return None
        self._hits += 1
        self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Hold a value; one that exceeds the limit by itself is not."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._size_bytes -= _size(key, old)
        if _size(key, value) > self._limit_bytes:
            return
        self._entries[key] = value
        self._size_bytes += _size(key, value)
        while self._size_bytes > self._limit_bytes:
            self._size_bytes -= _size(*self._entries.popitem(last=False))

    def status(self) -> CacheStatus:
        """How it is doing."""
        return CacheStatus(
            name=self._name,
            entries=len(self._entries),
            size_bytes=self._size_bytes,
            limit_bytes=self._limit_bytes,
            hits=self._hits,
            misses=self._misses,
        )


def _size(key: bytes, value: bytes) -> int:
    return _ENTRY_BYTES + len(key) + len(value)
