"""Image embeddings as a value: to keep, to save, and to send with any number of requests."""

from dataclasses import dataclass
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from imagegen.v1 import common_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DTYPES = {common_pb2.DATA_TYPE_FLOAT32: "<f4", common_pb2.DATA_TYPE_FLOAT16: "<f2"}


@dataclass(frozen=True, repr=False)
class Embeddings:
    """What the prior made of a prompt, or of a mix: n embeddings of `dim` numbers, and what guidance steers away from.

    Attributes:
        message: the contract's own message; its serialized bytes are the file format.
    """

    message: common_pb2.ImageEmbeddings

    @classmethod
    def from_arrays(
        cls,
        image_embeds: "NDArray[np.floating[Any]]",
        negative_image_embeds: "NDArray[np.floating[Any]] | None" = None,
        prior_digest: str = "",
    ) -> "Embeddings":
        """Embeddings from elsewhere, each (n, dim). They travel as float16 if they are that, else as float32."""
        message = common_pb2.ImageEmbeddings(image_embeds=_tensor(image_embeds), prior_digest=prior_digest)
        if negative_image_embeds is not None:
            message.negative_image_embeds.CopyFrom(_tensor(negative_image_embeds))
        return cls(message)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Embeddings":
        """What `to_bytes` gave.

        Raises:
            ValueError: the bytes are something else.
        """
        try:
            message = common_pb2.ImageEmbeddings.FromString(data)
        except DecodeError:
            raise ValueError("not saved embeddings") from None
        if not _is_matrix(message.image_embeds):
            raise ValueError("not saved embeddings, or cut short")
        return cls(message)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Embeddings":
        """What `save` wrote.

        Raises:
            ValueError: the file is something else.
            OSError: it cannot be read.
        """
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_bytes(self) -> bytes:
        """A serialized `imagegen.v1.ImageEmbeddings`, which any language with the protos reads."""
        return self.message.SerializeToString()

    def save(self, path: str | PathLike[str]) -> None:
        """Write `to_bytes` to a file."""
        Path(path).write_bytes(self.to_bytes())

    @property
    def image_embeds(self) -> "NDArray[np.floating[Any]]":
        """(n, dim), float32 or float16, read-only."""
        return _array(self.message.image_embeds)

    @property
    def negative_image_embeds(self) -> "NDArray[np.floating[Any]] | None":
        """(n, dim) or (1, dim), float32 or float16, read-only; None where there are none."""
        if not self.message.HasField("negative_image_embeds"):
            return None
        return _array(self.message.negative_image_embeds)

    @property
    def prior_digest(self) -> str:
        """Digest of the prior that made them; "" where it is not known."""
        return self.message.prior_digest

    def __len__(self) -> int:
        return self.message.image_embeds.shape[0]

    def __repr__(self) -> str:
        shape = tuple(self.message.image_embeds.shape)
        return f"Embeddings(shape={shape}, prior_digest={self.prior_digest[:12]!r})"


def _is_matrix(tensor: common_pb2.Tensor) -> bool:
    if tensor.dtype not in _DTYPES or len(tensor.shape) != 2:
        return False
    element_bytes = int(_DTYPES[tensor.dtype][-1])
    return prod(tensor.shape) * element_bytes == len(tensor.data)


def _array(tensor: common_pb2.Tensor) -> "NDArray[np.floating[Any]]":
    import numpy as np

    return np.frombuffer(tensor.data, dtype=_DTYPES[tensor.dtype]).reshape(tuple(tensor.shape))


def _tensor(array: "NDArray[np.floating[Any]]") -> common_pb2.Tensor:
    import numpy as np

    half = np.asarray(array).dtype == np.float16
    dtype = common_pb2.DATA_TYPE_FLOAT16 if half else common_pb2.DATA_TYPE_FLOAT32
    values = np.ascontiguousarray(array, dtype=_DTYPES[dtype])
    return common_pb2.Tensor(dtype=dtype, shape=values.shape, data=values.tobytes())
