"""Where a request's time goes, for its receipt."""

import time


class Clock:
    """Seconds of a request's phases, by laps: each counts the time since the one before."""

    def __init__(self) -> None:
        self.queued_seconds = 0.0
        self.encoding_seconds = 0.0
        self.denoising_seconds = 0.0
        self.decoding_seconds = 0.0
        self._started = self._last = time.perf_counter()

    @property
    def total_seconds(self) -> float:
        """Seconds since the request came."""
        return time.perf_counter() - self._started

    def queued(self) -> None:
        """The request has waited for the device."""
        self.queued_seconds += self._lap()

    def encoded(self) -> None:
        """A file, text or picture has been encoded, or prior steps were run."""
        self.encoding_seconds += self._lap()

    def denoised(self) -> None:
        """UNet steps were run."""
        self.denoising_seconds += self._lap()

    def decoded(self) -> None:
        """Latents have become a picture, or a picture a file."""
        self.decoding_seconds += self._lap()

    def _lap(self) -> float:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds
