"""A server's configuration: a frozen dataclass whose fields are command-line flags and environment variables.

    @dataclass(frozen=True, kw_only=True)
    class Config:
        port: int = flag("Port to listen on.", default=50050, minimum=0, maximum=65535)

`--port`, else `KANDINSKY_PORT` (unless it is empty), else the default. Types: str, int, float, bool, Path,
tuple[str, ...] and tuple[int, ...] (comma-separated), Literal[...] (choices), and any of them `| None`. An int whose
name ends in `_bytes` also takes `64MiB`. A field without a default is required. A ValueError of the class's own
`__post_init__` is told the user like any wrong value: one line, exit code 2.
"""

import argparse
import dataclasses
import os
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

ENVIRONMENT_PREFIX = "KANDINSKY_"

_BYTE_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


ConfigT = TypeVar("ConfigT", bound=_Dataclass)


def flag(
    sentence: str,
    *,
    default: Any = dataclasses.MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    metavar: str | None = None,
) -> Any:
    """A field of a configuration.

    Args:
        sentence: what `--help` says.
        default: value when neither the flag nor the variable is there; left out, one of them has to be.
        minimum: smallest number allowed.
        maximum: largest number allowed.
        metavar: what `--help` calls the value, where the type's own word says too little.
    """
    limits = {"minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata={"sentence": sentence, "metavar": metavar, **limits})


def parse(
    config_class: type[ConfigT],
    prog: str,
    description: str,
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> ConfigT:
    """The configuration that a command line and an environment ask for; exits with code 2 and one line if it is wrong.

    Args:
        config_class: a frozen dataclass of flags.
        prog: the command's name, which begins every error.
        description: what the command does.
        argv: arguments without the command's name; None: the process's own.
        environ: environment variables; None: the process's own.
    """
    flags = [_Flag.of(field, hint) for field, hint in _fields(config_class)]
    parser = _parser(prog, description, flags)
    given = vars(parser.parse_args(argv))
    environ = os.environ if environ is None else environ
    try:
        return config_class(**_values(flags, given, environ))
    except ValueError as error:
        parser.error(str(error))


@dataclass(frozen=True)
class _Kind:
    """How a type is written: its parser (ValueError if it cannot), the words for what is allowed, and for the value."""

    read: Callable[[str], Any]
    allowed: str
    metavar: str


@dataclass(frozen=True)
class _Flag:
    name: str
    kind: _Kind
    sentence: str
    default: Any
    metavar: str

    @classmethod
    def of(cls, field: "dataclasses.Field[Any]", hint: Any) -> "_Flag":
        kind = _kind(field.name, hint, field.metadata["minimum"], field.metadata["maximum"])
        metavar = field.metadata["metavar"]
        return cls(
            field.name,
            kind,
            field.metadata["sentence"],
            field.default,
            kind.metavar if metavar is None else metavar,
        )

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def help(self) -> str:
        default = "required" if self.default is dataclasses.MISSING else f"default: {_shown(self.name, self.default)}"
        return f"{self.sentence} [{self.variable}; {default}]".replace("%", "%%")

    def read(self, source: str, text: str) -> Any:
        try:
            return self.kind.read(text)
        except ValueError:
            raise ValueError(f"{source}: {text!r} is not allowed; it must be {self.kind.allowed}") from None


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message} (--help lists all flags)\n")
        sys.exit(2)


def _fields(config_class: type[ConfigT]) -> list[tuple["dataclasses.Field[Any]", Any]]:
    hints = get_type_hints(config_class)
    return [(field, hints[field.name]) for field in dataclasses.fields(config_class)]


def _parser(prog: str, description: str, flags: Sequence[_Flag]) -> argparse.ArgumentParser:
    parser = _Parser(prog=prog, description=description, usage=f"{prog} [flags]", allow_abbrev=False)
    for each in flags:
        if each.kind.read is _boolean:
            parser.add_argument(each.option, dest=each.name, action=argparse.BooleanOptionalAction, help=each.help)
        else:
            parser.add_argument(each.option, dest=each.name, metavar=each.metavar, help=each.help)
    return parser


def _values(flags: Sequence[_Flag], given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for each in flags:
        text = given[each.name]
        if text is not None:
            values[each.name] = text if isinstance(text, bool) else each.read(each.option, text)
        elif environ.get(each.variable):
            values[each.name] = each.read(each.variable, environ[each.variable])
        elif each.default is dataclasses.MISSING:
            raise ValueError(f"{each.option} (or {each.variable}) is missing; it must be {each.kind.allowed}")
    return values


def _kind(name: str, hint: Any, minimum: float | None, maximum: float | None) -> _Kind:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(option for option in get_args(hint) if option is not types.NoneType)
    if get_origin(hint) is Literal:
        choices: tuple[str, ...] = get_args(hint)
        return _Kind(_chooser(choices), "one of " + ", ".join(choices), "|".join(choices))
    limits = _limits(minimum, maximum)
    if hint is int and name.endswith("_bytes"):
        return _Kind(_within(_byte_size, minimum, maximum), f"a size such as 1048576 or 64MiB{limits}", "SIZE")
    kinds = {
        str: _Kind(str, "a text", "TEXT"),
        Path: _Kind(Path, "a path", "PATH"),
        bool: _Kind(_boolean, "true or false", ""),
        int: _Kind(_within(int, minimum, maximum), f"a whole number{limits}", "N"),
        float: _Kind(_within(float, minimum, maximum), f"a number{limits}", "X"),
        tuple[str, ...]: _Kind(_list, "a comma-separated list", "A,B,…"),
        tuple[int, ...]: _Kind(_integers(minimum, maximum), f"comma-separated whole numbers{limits}", "N,N,…"),
    }
    return kinds[hint]


def _limits(minimum: float | None, maximum: float | None) -> str:
    if minimum is None:
        return "" if maximum is None else f" of at most {maximum}"
    return f" of at least {minimum}" if maximum is None else f" from {minimum} to {maximum}"


def _within(read: Callable[[str], float], minimum: float | None, maximum: float | None) -> Callable[[str], float]:
    def checked(text: str) -> float:
        value = read(text)
        low = -sys.float_info.max if minimum is None else minimum
        high = sys.float_info.max if maximum is None else maximum
        if not low <= value <= high:  # so NaN and infinity are refused too
            raise ValueError
        return value

    return checked


def _chooser(choices: Sequence[str]) -> Callable[[str], str]:
    def choose(text: str) -> str:
        if text not in choices:
            raise ValueError
        return text

    return choose


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError
    return _TRUTHS[text.lower()]


def _list(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if "" in parts:
        raise ValueError
    return parts


def _integers(minimum: float | None, maximum: float | None) -> Callable[[str], tuple[float, ...]]:
    read = _within(int, minimum, maximum)
    return lambda text: tuple(read(part) for part in _list(text))


def _byte_size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([KMG]iB)?", text)
    if match is None:
        raise ValueError
    return int(match[1]) * _BYTE_UNITS[match[2] or ""]


def _shown(name: str, default: Any) -> str:
    if default is None or default in ((), ""):
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if name.endswith("_bytes"):
        unit = next(unit for unit in ("GiB", "MiB", "KiB", "") if default % _BYTE_UNITS[unit] == 0)
        return f"{default // _BYTE_UNITS[unit]}{unit}"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
