"""The thirteen colours of the demo's world, and their words in four languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """One colour: its sRGB value and how it is said.

    Attributes:
        name: The English adjective; also the colour's key.
        rgb: sRGB, 0…255.
        russian: Nominative endings attached (masculine, feminine, neuter), prepositional, instrumental, plural.
        german: The stem an adjective ending is attached to.
        chinese: The attribute before a noun, without 的.
    """

    name: str
    rgb: tuple[int, int, int]
    russian: tuple[str, str, str, str, str, str]
    german: str
    chinese: str


def _hard(stem: str) -> tuple[str, str, str, str, str, str]:
    """The forms of a Russian adjective with a hard stem: красн → красный, красная, …, красные."""
    return (f"{stem}ый", f"{stem}ая", f"{stem}ое", f"{stem}ом", f"{stem}ым", f"{stem}ые")


_BLUE = ("синий", "синяя", "синее", "синем", "синим", "синие")
_LIGHT_BLUE = ("голубой", "голубая", "голубое", "голубом", "голубым", "голубые")

COLOURS = (
    Colour("red", (214, 38, 38), _hard("красн"), "rot", "红色"),
    Colour("orange", (245, 138, 24), _hard("оранжев"), "orangefarben", "橙色"),
    Colour("yellow", (250, 220, 40), _hard("жёлт"), "gelb", "黄色"),
    Colour("green", (38, 150, 60), _hard("зелён"), "grün", "绿色"),
    Colour("turquoise", (40, 200, 185), _hard("бирюзов"), "türkisfarben", "青色"),
    Colour("light blue", (135, 195, 250), _LIGHT_BLUE, "hellblau", "浅蓝色"),
    Colour("blue", (30, 75, 215), _BLUE, "blau", "蓝色"),
    Colour("purple", (125, 50, 175), _hard("фиолетов"), "violett", "紫色"),
    Colour("pink", (250, 140, 190), _hard("розов"), "rosafarben", "粉色"),
    Colour("brown", (125, 72, 35), _hard("коричнев"), "braun", "棕色"),
    Colour("white", (248, 248, 248), _hard("бел"), "weiß", "白色"),
    Colour("grey", (128, 128, 128), _hard("сер"), "grau", "灰色"),
    Colour("black", (20, 20, 20), _hard("чёрн"), "schwarz", "黑色"),
)
BY_NAME = {colour.name: colour for colour in COLOURS}
NAMES = tuple(BY_NAME)
