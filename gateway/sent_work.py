"""How much work a worker has: what it last reported, and what it was sent that the report cannot know of."""

from dataclasses import dataclass


@dataclass(eq=False)
class Sent:
    """A call that a worker was sent.

    Attributes:
        seconds: device seconds it is expected to take.
        arrived: whether the worker has accepted it, so that its next report includes it.
        reported: whether a report has included it.
    """

    seconds: float
    arrived: bool = False
    reported: bool = False


# A worker that has work reports more often than this; one that does not may stand still.
_LONGEST_SILENCE_SECONDS = 0.5


class SentWork:
    """The work of one worker, from its reports and the gateway's own calls. Times are of one rising clock."""

    def __init__(self) -> None:
        self._reported_seconds = 0.0
        self._reported_at = 0.0
        self._calls: set[Sent] = set()

    def __repr__(self) -> str:
        return f"SentWork({self._reported_seconds:.2f} s reported, {len(self._calls)} calls)"

    def __len__(self) -> int:
        return len(self._calls)

    def queued_seconds(self, now_seconds: float) -> float:
        """Device seconds of the work it has: as reported, less what it has done since, and what it was sent since."""
        done_seconds = min(now_seconds - self._reported_at, _LONGEST_SILENCE_SECONDS)
        left_seconds = max(self._reported_seconds - done_seconds, 0.0)
        return left_seconds + sum(sent.seconds for sent in self._calls if not sent.reported)

    def send(self, seconds: float) -> Sent:
        """Count a call that is sent now."""
        sent = Sent(seconds)
        self._calls.add(sent)
        return sent

    def end(self, sent: Sent) -> None:
        """Count a call no more."""
        self._calls.discard(sent)

    def report(self, queued_seconds: float, now_seconds: float) -> None:
        """Take a report in, which includes all calls that have arrived."""
        self._reported_seconds, self._reported_at = queued_seconds, now_seconds
        for sent in self._calls:
            sent.reported = sent.reported or sent.arrived
