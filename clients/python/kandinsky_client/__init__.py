"""Client of a kandinsky-serving gateway: `Client` for ordinary code, `AsyncClient` for asyncio.

Importing this package costs next to nothing: gRPC is loaded with the first client, Pillow with the first picture, and
NumPy only for who brings or asks for arrays. Type checkers read `__init__.pyi`.
"""

from importlib import import_module

_EXPORTS = {
    "imagegen.v1.common_pb2": ["Receipt", "Truncation"],
    "imagegen.v1.gateway_pb2": ["GetServerInfoResponse"],
    "kandinsky_client.aio": ["AsyncClient", "AsyncEventStream"],
    "kandinsky_client.client": ["Client", "EventStream"],
    "kandinsky_client.embeddings": ["Embeddings"],
    "kandinsky_client.errors": [
        "DeadlineExceededError",
        "ErrorDetails",
        "FailedPreconditionError",
        "FieldViolation",
        "InternalError",
        "InvalidArgumentError",
        "KandinskyClientError",
        "MessageTooLargeError",
        "PermissionDeniedError",
        "RequestCancelledError",
        "RequestIdInUseError",
        "ServerBusyError",
        "UnauthenticatedError",
        "UnavailableError",
    ],
    "kandinsky_client.images": ["ImageInput"],
    "kandinsky_client.options": ["EncodePromptOptions", "Img2ImgOptions", "InterpolateOptions"],
    "kandinsky_client.results": [
        "CancelResult",
        "EncodeResult",
        "Event",
        "Img2ImgResult",
        "Picture",
        "Progress",
        "PromptEncoded",
        "Queued",
    ],
    "kandinsky_client.retry": ["RetryPolicy"],
    "kandinsky_client.security": ["Tls"],
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
