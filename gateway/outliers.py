"""Workers whose answers are errors, or never come: for how long they get nothing, and how they are let back in."""

import math
from dataclasses import dataclass, replace

_FAILURES_IN_A_ROW = 3
_FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 60.0
_RETURN_SECONDS = 20.0
_SMALLEST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Record:
    """How a worker has done lately.

    Attributes:
        failures: in a row.
        ejections: since it last answered well.
        until_seconds: when its last ejection ends or ended, by the clock of those who ask.
    """

    failures: int = 0
    ejections: int = 0
    until_seconds: float = -math.inf

    def succeeded(self, now_seconds: float) -> "Record":
        """After a good answer. Only a worker that is fully back is forgiven its ejections."""
        return Record() if self.share(now_seconds) == 1.0 else replace(self, failures=0)

    def failed(self, now_seconds: float) -> "Record":
        """After a bad answer, or none."""
        failures = self.failures + 1
        return self.ejected(now_seconds) if failures >= _FAILURES_IN_A_ROW else replace(self, failures=failures)

    def ejected(self, now_seconds: float) -> "Record":
        """Sent away, each time for twice as long."""
        seconds = min(_FIRST_SECONDS * 2**self.ejections, _LONGEST_SECONDS)
        return Record(0, self.ejections + 1, now_seconds + seconds)

    def is_ejected(self, now_seconds: float) -> bool:
        """Whether it gets nothing."""
        return now_seconds < self.until_seconds

    def share(self, now_seconds: float) -> float:
        """How much of its part it may have: rises to 1 after an ejection."""
        back = (now_seconds - self.until_seconds) / _RETURN_SECONDS
        return min(max(back, _SMALLEST_SHARE), 1.0)
