"""Whether a worker gets on with its work, by what it reports of its device and by what it answers. Pure."""

import math

from imagegen.v1.common_pb2 import WorkerStatus


class Liveness:
    """The signs of life of one worker. Times are of one rising clock.

    That it holds less work is none: requests are cancelled and run out of time on a device that stands still, too.

    Args:
        timeout_seconds: how long it may show none while it has work.

    Attributes:
        hangs: whether its device was given up in the midst of an action, and nothing has moved since.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self.hangs = False
        self._timeout_seconds = timeout_seconds
        self._sign_seconds = -math.inf
        self._actions_done = 0
        self._acting = False

    def __repr__(self) -> str:
        doing = "at an action" if self._acting else "free"
        return f"Liveness({self._actions_done} actions, {doing}{', hangs' if self.hangs else ''})"

    def progressed(self, now_seconds: float) -> None:
        """It has got further with its work, or is there again."""
        self._sign_seconds = now_seconds
        self.hangs = False

    def report(self, status: WorkerStatus, now_seconds: float) -> None:
        """Take in what it says of its device: that an action has ended, or begun."""
        if (status.actions_done, status.acting) != (self._actions_done, self._acting):
            self.progressed(now_seconds)
        self._actions_done, self._acting = status.actions_done, status.acting

    def begin(self, now_seconds: float) -> None:
        """It is given work and had none of ours. Time before that counts only if its device was at one action in it."""
        if not self._acting:
            self._sign_seconds = now_seconds

    def stands_still(self, now_seconds: float) -> bool:
        """Whether it has shown no sign of life for too long, if it had work all the while."""
        return now_seconds - self._sign_seconds > self._timeout_seconds

    def give_up(self) -> None:
        """Its calls were taken from it. They may never have come to its device; then it does not hang."""
        self.hangs = self._acting
