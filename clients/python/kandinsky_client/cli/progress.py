"""What is shown while a request runs: a line that redraws itself on a terminal, a few plain lines elsewhere."""

import time
from collections.abc import Callable
from typing import TextIO

from kandinsky_client.results import Event, Progress, PromptEncoded, Queued

_BAR_COLUMNS = 30
_PLAIN_LINES = 10


class ProgressLine:
    """Shows the events of one request.

    Args:
        stream: where to, usually stderr.
        num_images: how many images the steps are for.
        clock: seconds, for the estimate.
    """

    def __init__(self, stream: TextIO, num_images: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._num_images = num_images
        self._clock = clock
        self._steps_by_image: dict[int, int] = {}
        self._first: tuple[float, int] | None = None
        self._tenths_shown = 0

    def show(self, event: Event) -> None:
        """Tell what an event says, where it says something new."""
        if isinstance(event, Queued):
            if event.position > 0 or event.estimated_wait_seconds >= 1:
                self._write(f"queued, {event.position} ahead, about {event.estimated_wait_seconds:.0f} s")
        elif isinstance(event, PromptEncoded):
            self._write("prompt encoded" + (" (cached)" if event.cache_hit else ""))
        elif isinstance(event, Progress):
            self._show_steps(event)

    def close(self) -> None:
        """Remove the line from a terminal, so that what is printed next stands alone."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show_steps(self, event: Progress) -> None:
        self._steps_by_image[event.image_index] = event.step
        done = sum(self._steps_by_image.values())
        total = event.total_steps * self._num_images
        text = steps_text(done, total, self._seconds_left(done, total))
        if self._is_terminal:
            filled = _BAR_COLUMNS * done // total
            self._write(f"[{'#' * filled}{'.' * (_BAR_COLUMNS - filled)}] {text}")
        elif done * _PLAIN_LINES // total > self._tenths_shown:
            self._tenths_shown = done * _PLAIN_LINES // total
            self._write(text)

    def _seconds_left(self, done: int, total: int) -> float | None:
        """From the pace since the first step; None until there are two."""
        now = self._clock()
        if self._first is None:
            self._first = (now, done)
        start, done_at_start = self._first
        if done <= done_at_start:
            return None
        return (now - start) / (done - done_at_start) * (total - done)

    def _write(self, text: str) -> None:
        self._stream.write(f"\r{text}\x1b[K" if self._is_terminal else f"{text}\n")
        self._stream.flush()


def steps_text(done: int, total: int, seconds_left: float | None) -> str:
    """Steps done, and when the rest will be."""
    text = f"{done}/{total} steps"
    return text if seconds_left is None else f"{text}, {seconds_left:.0f} s left"
