"""The contract's enums as Python spells them: "ddim" for SCHEDULER_TYPE_DDIM.

buf's style makes this mechanical: every value has the enum's name as its prefix, and the first one is UNSPECIFIED.
"""

from google.protobuf.descriptor import EnumDescriptor

from kandinsky_client.errors import invalid_field


def number(enum: EnumDescriptor, name: str, path: str) -> int:
    """The number of the value that Python calls `name`.

    Raises:
        InvalidArgumentError: there is none; says which names there are. `path` is the request's field.
    """
    numbers = {_python_name(enum, value.name): value.number for value in enum.values[1:]}
    if name not in numbers:
        raise invalid_field(path, f"must be one of {', '.join(numbers)}; given {name!r}")
    return numbers[name]


def name(enum: EnumDescriptor, number: int) -> str:
    """The Python name of a value; "unspecified" for 0, and the number itself for one that a newer server added."""
    value = enum.values_by_number.get(number)
    return str(number) if value is None else _python_name(enum, value.name)


def _python_name(enum: EnumDescriptor, proto_name: str) -> str:
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return proto_name.removeprefix(prefix).lower()
