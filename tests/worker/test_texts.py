"""Encoded texts that are kept: what is asked of the encoder, in which sizes, and what goes when room runs out."""

from collections.abc import Sequence

import pytest

from worker.texts import TextCache

BYTES = 10


class Encoded:
    """Texts, encoded: capitals."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = [text.upper() for text in texts]

    @property
    def size_bytes(self) -> int:
        return BYTES * len(self.texts)

    def take(self, index: Sequence[int]) -> "Encoded":
        taken = Encoded([])
        taken.texts = [self.texts[place] for place in index]
        return taken


class Encoder:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> Encoded:
        self.asked.append(list(texts))
        return Encoded(texts)


def cache_of(encoder: Encoder, sizes: Sequence[int] = (1, 2, 4), room: int = 100) -> TextCache[Encoded]:
    """A cache with room for so many texts."""
    return TextCache(encoder, sizes, room * BYTES)


def test_each_text_gets_its_own_encoding_by_itself() -> None:
    found = cache_of(Encoder()).encode("abcdefg")
    assert {text: encoded.texts for text, encoded in found.items()} == {text: [text.upper()] for text in "abcdefg"}


def test_texts_are_encoded_in_compiled_sizes_as_few_as_possible() -> None:
    encoder = Encoder()
    cache_of(encoder).encode("abcdefghijk")
    assert encoder.asked == [["a", "b", "c", "d"], ["e", "f", "g", "h"], ["i", "j"], ["k"]]


def test_a_size_that_is_not_compiled_is_never_used() -> None:
    encoder = Encoder()
    cache_of(encoder, sizes=(1, 4)).encode("abc")
    assert encoder.asked == [["a"], ["b"], ["c"]]


def test_a_text_is_encoded_once_however_often_it_comes() -> None:
    encoder = Encoder()
    cache = cache_of(encoder)
    assert list(cache.encode(["a", "b", "a", ""])) == ["a", "b", ""]
    assert list(cache.encode(["b", "c", "b"])) == ["b", "c"]
    assert [text for texts in encoder.asked for text in texts] == ["a", "b", "", "c"]


def test_the_status_counts_hits_misses_and_bytes() -> None:
    cache = cache_of(Encoder())
    cache.encode(["a", "b", "a"])
    cache.encode(["b", "c"])
    status = cache.status()
    assert (status.name, status.hits, status.misses) == ("text", 1, 3)
    assert (status.entries, status.size_bytes, status.limit_bytes) == (3, 3 * BYTES, 100 * BYTES)


def test_a_status_that_was_given_does_not_change_any_more() -> None:
    cache = cache_of(Encoder())
    before = cache.status()
    cache.encode(["a"])
    assert before.misses == 0


def test_the_text_goes_that_was_not_used_for_longest() -> None:
    encoder = Encoder()
    cache = cache_of(encoder, room=3)
    for text in ("a", "b", "c", "a", "d"):
        cache.encode([text])
    assert (cache.status().entries, cache.status().size_bytes) == (3, 3 * BYTES)
    encoder.asked.clear()
    cache.encode(["a", "c", "d"])
    assert encoder.asked == []
    cache.encode(["b"])
    assert encoder.asked == [["b"]]


def test_texts_that_do_not_all_fit_are_all_given() -> None:
    cache = cache_of(Encoder(), room=2)
    assert list(cache.encode("abcdef")) == list("abcdef")
    assert cache.status().size_bytes == 2 * BYTES


def test_without_room_nothing_is_kept_and_everything_is_encoded() -> None:
    encoder = Encoder()
    cache = cache_of(encoder, room=0)
    for _ in range(2):
        assert list(cache.encode(["a", "b"])) == ["a", "b"]
    assert encoder.asked == [["a", "b"]] * 2
    assert (cache.status().entries, cache.status().size_bytes, cache.status().hits) == (0, 0, 0)


def test_what_fails_is_not_kept() -> None:
    encoder, fails = Encoder(), True

    def encode(texts: Sequence[str]) -> Encoded:
        if fails:
            raise ZeroDivisionError
        return encoder(texts)

    cache = TextCache(encode, (1,), 100 * BYTES)
    with pytest.raises(ZeroDivisionError):
        cache.encode(["a"])
    fails = False
    assert cache.encode(["a"])["a"].texts == ["A"]
    assert cache.status().size_bytes == BYTES
