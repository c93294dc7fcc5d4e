"""Reads a SentencePiece model file, as far as a tokenizer needs it.

The file is a protocol buffer (https://github.com/google/sentencepiece, src/sentencepiece_model.proto); the schema
below holds the fields that are read, with their published numbers.
"""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from kandinsky.errors import CorruptFileError, MissingFileError

_SCHEMA = """
name: "sentencepiece_model_subset.proto"
syntax: "proto2"
message_type {
  name: "ModelProto"
  field { name: "pieces" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".SentencePiece" }
  field { name: "normalizer_spec" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".NormalizerSpec" }
}
message_type {
  name: "SentencePiece"
  field { name: "piece" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "score" number: 2 label: LABEL_OPTIONAL type: TYPE_FLOAT }
  field { name: "type" number: 3 label: LABEL_OPTIONAL type: TYPE_INT32 default_value: "1" }
}
message_type {
  name: "NormalizerSpec"
  field { name: "precompiled_charsmap" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES }
}
"""


class PieceType(IntEnum):
    """What a piece stands for; the numbers are the file's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """One entry of the vocabulary.

    Attributes:
        text: with '▁' where a space is.
        score: its logarithmic probability.
        type: what it stands for.
    """

    text: str
    score: float
    type: PieceType


@dataclass(frozen=True)
class SentencePieceModel:
    """The vocabulary and the text normalisation of a SentencePiece model.

    Attributes:
        pieces: the vocabulary in the order of its ids.
        precompiled_charsmap: the normalisation rules in SentencePiece's binary form, or b''.
    """

    pieces: tuple[Piece, ...]
    precompiled_charsmap: bytes


def read_sentencepiece_model(path: Path) -> SentencePieceModel:
    """Reads the file.

    Raises:
        MissingFileError: there is no such file.
        CorruptFileError: it is no SentencePiece model.
    """
    proto = _model_class()()
    try:
        proto.ParseFromString(path.read_bytes())
        pieces = tuple(Piece(piece.piece, piece.score, PieceType(piece.type)) for piece in proto.pieces)
    except FileNotFoundError:
        raise MissingFileError(f"{path} is missing; download the checkpoint again") from None
    except (DecodeError, OSError, ValueError) as error:
        raise CorruptFileError(f"{path} is no whole SentencePiece model ({error}); download it again") from None
    if not pieces:
        raise CorruptFileError(f"{path} is no SentencePiece model: it holds no pieces; download it again")
    return SentencePieceModel(pieces, proto.normalizer_spec.precompiled_charsmap)


def _model_class() -> Any:
    schema = text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()  # its own, apart from that of an installed sentencepiece
    pool.Add(schema)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ModelProto"))
