"""C++ compilers that do as they are told, and note what they are asked."""

import shlex
from pathlib import Path

_SCRIPT = """#!/bin/sh
if [ "$1" = --version ]; then echo "$0 $1" >>{notes}; echo {version}; exit; fi
while [ "$1" != -o ]; do shift; done
target=$2
echo "$0 $target" >>{notes}
{commands}
"""


class StandInCompilers:
    """Compilers in a folder of their own.

    Args:
        folder: for the PATH; there is nothing else in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notes = folder.with_suffix(".notes")
        folder.mkdir()

    def add(self, name: str, commands: str, version: str | None = None) -> None:
        """Another, under one of the names that are looked for.

        Args:
            name: such as c++.
            commands: shell, what it does to compile into $target.
            version: what it says of itself; if None, something of its own.
        """
        told = shlex.quote(f"stand-in {name}" if version is None else version)
        script = self.folder / name
        script.write_text(_SCRIPT.format(notes=shlex.quote(str(self._notes)), version=told, commands=commands))
        script.chmod(0o755)

    def add_copier(self, name: str, library: Path) -> None:
        """One whose product is a copy of a library."""
        self.add(name, f'/bin/cp {shlex.quote(str(library))} "$target"')

    @property
    def calls(self) -> list[str]:
        """Each call so far: who, and what is to be made, or --version."""
        if not self._notes.exists():
            return []
        return [line.removeprefix(f"{self.folder}/") for line in self._notes.read_text().splitlines()]

    @property
    def built(self) -> list[str]:
        """Who was asked for a library, in this order: each time objects are made in a folder of their own."""
        objects = (call.rpartition("/")[0] for call in self.calls if call.endswith(".o"))
        return [call.partition(" ")[0] for call in dict.fromkeys(objects)]
