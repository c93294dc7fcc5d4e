"""Picture files, whole and broken: every format that is read, some that are not, and headers that promise too much."""

import io
import random
import struct
import zlib

from PIL import Image

_MODES = {"PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), "JPEG": ("RGB", "L", "CMYK"), "WEBP": ("RGB", "RGBA")}
_NOT_READ = ("GIF", "BMP", "TIFF", "PPM")


def picture(dice: random.Random) -> bytes:
    """A file that the servers may be sent: whole, of another kind, of an absurd size, or with some bytes changed."""
    match dice.randrange(5):
        case 0:
            return _whole(dice)
        case 1:
            return _encoded(dice, dice.choice(_NOT_READ), "RGB")
        case 2:
            return _bomb(dice)
        case _:
            return corrupted(dice, _whole(dice))


def corrupted(dice: random.Random, data: bytes) -> bytes:
    """Some bytes changed, taken out, put in or said twice."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        place = dice.randrange(len(changed) + 1)
        length = dice.choice((1, 1, 2, 4, 16, 200))
        match dice.randrange(4):
            case 0:
                changed[place : place + length] = dice.randbytes(length)
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = dice.randbytes(length)
            case _:
                changed[place:place] = changed[place : place + length]
    return bytes(changed)


def _whole(dice: random.Random) -> bytes:
    file_format = dice.choice(tuple(_MODES))
    return _encoded(dice, file_format, dice.choice(_MODES[file_format]))


def _encoded(dice: random.Random, file_format: str, mode: str) -> bytes:
    size = (dice.choice((1, 2, 17, 64, 300, 16_000)), dice.choice((1, 3, 64, 100)))
    image = Image.frombytes("L", size, dice.randbytes(size[0] * size[1]))
    file = io.BytesIO()
    options = {"exif": _exif(dice)} if file_format in _MODES and dice.random() < 0.3 else {}
    image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    image.save(file, file_format, **options)
    return file.getvalue()


def _exif(dice: random.Random) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = dice.randrange(12)  # the orientation; 1 to 8 are known
    return corrupted(dice, exif.tobytes()) if dice.random() < 0.5 else exif.tobytes()


def _bomb(dice: random.Random) -> bytes:
    """A small PNG whose header says it is large, or that really unpacks to a large picture."""
    side = dice.choice((7000, 20_000, 100_000, 2**31 - 1))
    rows = zlib.compress(bytes(min(side, 20_000) * 200), 9)
    header = struct.pack(">IIBBBBB", side, dice.choice((1, side)), 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
