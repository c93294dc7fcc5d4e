"""How often work may be moved to another worker: retries must not turn an overload into a worse one.

As gRPC's retry throttling (https://github.com/grpc/proposal/blob/master/A6-client-retries.md): a failure costs a token,
a success earns a part of one, and nothing is retried while half of the tokens are gone. One worker that dies fails all
its calls at once, so there are many tokens.
"""

_MAX_TOKENS = 200.0
_EARNED_BY_SUCCESS = 0.5


class RetryBudget:
    """The tokens of one tier."""

    def __init__(self) -> None:
        self._tokens = _MAX_TOKENS

    def __repr__(self) -> str:
        return f"RetryBudget({self._tokens:g} of {_MAX_TOKENS:g})"

    @property
    def may_retry(self) -> bool:
        """Whether a call that failed may be sent again."""
        return self._tokens > _MAX_TOKENS / 2

    def succeeded(self) -> None:
        """A call was answered."""
        self._tokens = min(self._tokens + _EARNED_BY_SUCCESS, _MAX_TOKENS)

    def failed(self) -> None:
        """A call was not."""
        self._tokens = max(self._tokens - 1, 0.0)
