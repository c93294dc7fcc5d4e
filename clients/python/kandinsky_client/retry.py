"""Whether and when a failed call is sent again. Pure: clock and dice come from outside."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from kandinsky_client.errors import KandinskyClientError, ServerBusyError, UnavailableError


@dataclass(frozen=True)
class RetryPolicy:
    """How persistent a client is.

    A call that failed with UNAVAILABLE is sent again as long as its caller has seen nothing of an answer: the server
    was lost, or says that another one will do. That is safe: a request changes nothing on the server, and the work of a
    call that is lost is dropped. Once the caller has seen an event, the error is the caller's to judge.

    Attributes:
        max_attempts: how often a call is sent at most; 1: never again.
        initial_delay_seconds: pause before the second attempt; it doubles with each one.
        max_delay_seconds: the longest pause. A server that asks for a longer one gets no further attempt.
        retry_busy: whether to wait, too, when the server is full and says when to come back.
    """

    max_attempts: int = 4
    initial_delay_seconds: float = 0.25
    max_delay_seconds: float = 30.0
    retry_busy: bool = False


DEFAULT_RETRY = RetryPolicy()


class Attempts:
    """One call's attempts: the time that is left for it and the pauses between them."""

    def __init__(
        self,
        policy: RetryPolicy,
        timeout_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._dice = dice
        self._deadline = None if timeout_seconds is None else clock() + timeout_seconds
        self._failed = 0
        self._seen = False

    def remaining_seconds(self) -> float | None:
        """What is left until the call's deadline; None where it has none."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock())

    def seen(self) -> None:
        """The caller has seen an event: from now on no error is hidden from it."""
        self._seen = True

    def pause_seconds(self, error: KandinskyClientError) -> float:
        """How long to wait before the next attempt.

        Raises:
            KandinskyClientError: `error` itself, where there is to be no further attempt.
        """
        self._failed += 1
        if self._failed >= self._policy.max_attempts or not self._may_retry(error):
            raise error
        asked = 0.0 if error.retry_after_seconds is None else error.retry_after_seconds
        pause = min(asked + self._backoff(), self._policy.max_delay_seconds)
        remaining = self.remaining_seconds()
        if asked > self._policy.max_delay_seconds or (remaining is not None and pause >= remaining):
            raise error
        return pause

    def _may_retry(self, error: KandinskyClientError) -> bool:
        if self._seen:
            return False
        if isinstance(error, ServerBusyError):
            return self._policy.retry_busy and error.retry_after_seconds is not None
        return isinstance(error, UnavailableError)

    def _backoff(self) -> float:
        """A random pause on top of what the server asked for, so that clients do not come back together."""
        longest = self._policy.max_delay_seconds
        backoff: float = min(self._policy.initial_delay_seconds * 2.0 ** min(self._failed - 1, 64), longest)
        return backoff * (0.5 + 0.5 * self._dice())
