"""Captions: what a person would write under a scene, in English, Russian, German or Chinese."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.drawing.palette import BY_NAME
from demo.drawing.scenes import Landscape, Plain, Rng, Scene

LANGUAGES = ("en", "ru", "de", "zh")
_MASCULINE, _FEMININE, _NEUTER, _PREPOSITIONAL, _INSTRUMENTAL, _PLURAL = range(6)


@dataclass(frozen=True)
class Mention:
    """What a caption speaks of; a caption may leave out any of it."""

    foreground: bool = True
    background: bool = True
    shape: bool = True
    size: bool = False
    position: bool = False


def random_mention(rng: Rng) -> Mention:
    """Mostly everything, sometimes without a colour or the shape's name."""
    left_out = rng.random()
    return Mention(
        foreground=not 0.06 < left_out < 0.12,
        background=not 0.12 < left_out < 0.2,
        shape=not left_out < 0.06,
        size=bool(rng.random() < 0.25),
        position=bool(rng.random() < 0.25),
    )


def caption(scene: Scene, language: str, rng: Rng, mention: Mention | None = None) -> str:
    """One of the ways to describe a scene in a language."""
    mention = random_mention(rng) if mention is None else mention
    if isinstance(scene, Plain):
        body = {"en": _plain_en, "ru": _plain_ru, "de": _plain_de, "zh": _plain_zh}[language](scene, mention, rng)
    else:
        body = {"en": _land_en, "ru": _land_ru, "de": _land_de, "zh": _land_zh}[language](scene, rng)
    return _decorated(body, language, rng)


_BEFORE = {
    "en": ("a picture of ", "a drawing of ", "an image of ", "a painting of ", "an illustration of "),
    "ru": ("рисунок: ", "изображение: ", "картина: "),
    "de": ("Bild: ", "Zeichnung: ", "Gemälde: "),
    "zh": ("图片:", "一幅画:"),
}
_AFTER = {
    "en": (", high quality", ", detailed", ", digital art", ", cinematic lighting", ", 4k", ", minimalism", "."),
    "ru": (", высокое качество", ", подробно", ", цифровое искусство", "."),
    "de": (", hohe Qualität", ", detailliert", ", digitale Kunst", "."),
    "zh": (",高质量", ",数字艺术", "。"),
}
SPOILED = {
    "en": (", low quality", ", bad quality", ", low quality, bad quality", ", blurry", ", blurred, low quality"),
    "ru": (", низкое качество", ", размыто"),
    "de": (", schlechte Qualität", ", unscharf"),
    "zh": (",低质量", ",模糊"),
}


def _decorated(body: str, language: str, rng: Rng) -> str:
    before = _one(rng, _BEFORE[language]) if rng.random() < 0.15 else ""
    after = _one(rng, _AFTER[language]) if rng.random() < 0.2 else ""
    text = before + body + after
    return text[0].upper() + text[1:] if rng.random() < 0.2 else text


def _one(rng: Rng, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _where(scene: Plain) -> int:
    """0 middle, 1 left, 2 right, 3 top, 4 bottom."""
    dx, dy = scene.x - 0.5, scene.y - 0.5
    if max(abs(dx), abs(dy)) < 0.1:
        return 0
    if abs(dx) >= abs(dy):
        return 1 if dx < 0 else 2
    return 3 if dy < 0 else 4


def _size(scene: Plain) -> int:
    """0 small, 1 neither, 2 large."""
    return int(np.digitize(scene.radius, (0.24, 0.33)))


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


# English
_WHERE_EN = ("in the middle", "on the left", "on the right", "at the top", "at the bottom")


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def _plain_en(scene: Plain, mention: Mention, rng: Rng) -> str:
    size = ("small", "", "large")[_size(scene)] if mention.size else ""
    colour = scene.foreground if mention.foreground else ""
    if not mention.shape and colour and rng.random() < 0.5:
        thing = _one(rng, (colour, f"something {colour}"))
    else:
        thing = _words(size, colour, scene.shape if mention.shape else "shape")
        thing = _article(thing) if rng.random() < 0.8 else thing
    thing = _words(thing, _WHERE_EN[_where(scene)] if mention.position else "")
    if not mention.background:
        return thing
    ground = scene.background
    return _one(
        rng,
        (
            f"{thing} on {_article(ground)} background",
            f"{thing} on {_article(ground)} background",
            f"{thing} on {ground}",
            f"{thing}, {ground} background",
            f"{_article(ground)} background with {thing}",
        ),
    )


def _land_en(scene: Landscape, rng: Rng) -> str:
    things = []
    if scene.house:
        things.append(_article(f"{scene.house} house"))
    if scene.tree:
        things.append(_article(f"{scene.tree} tree"))
    ground = f"{scene.ground} {_one(rng, ('ground', 'field', 'meadow'))}"
    sky = f"{scene.sky} sky"
    hills = f"{scene.hills} {_one(rng, ('hills', 'mountains'))}" if scene.hills else ""
    sun = f"{scene.sun} {'moon' if scene.sky == 'black' else 'sun'}" if scene.sun else ""
    if rng.random() < 0.3:
        return ", ".join(filter(None, ("a landscape", sky, ground, hills, sun, *things)))
    head = f"{things[0]} on {_article(ground)}" if things else _article(ground)
    return _words(
        head, f"in front of {hills}" if hills else "", f"under {_article(sky)}", f"with {_article(sun)}" if sun else ""
    )


# Russian
_SHAPES_RU = {
    "circle": ("круг", _MASCULINE),
    "square": ("квадрат", _MASCULINE),
    "triangle": ("треугольник", _MASCULINE),
    "star": ("звезда", _FEMININE),
    "heart": ("сердце", _NEUTER),
    "ring": ("кольцо", _NEUTER),
    "hexagon": ("шестиугольник", _MASCULINE),
    "cross": ("крест", _MASCULINE),
    "diamond": ("ромб", _MASCULINE),
    "crescent": ("полумесяц", _MASCULINE),
}
_SIZES_RU = (("маленький", "маленькая", "маленькое"), ("", "", ""), ("большой", "большая", "большое"))
_WHERE_RU = ("в центре", "слева", "справа", "вверху", "внизу")


def _ru(colour: str, form: int) -> str:
    return BY_NAME[colour].russian[form]


def _plain_ru(scene: Plain, mention: Mention, rng: Rng) -> str:
    noun, gender = _SHAPES_RU[scene.shape] if mention.shape else ("фигура", _FEMININE)
    size = _SIZES_RU[_size(scene)][gender] if mention.size else ""
    colour = _ru(scene.foreground, gender) if mention.foreground else ""
    thing = _words(size, colour, noun, _WHERE_RU[_where(scene)] if mention.position else "")
    if not mention.background:
        return thing
    ground = f"{_ru(scene.background, _PREPOSITIONAL)} фоне"
    nominative = f"{_ru(scene.background, _MASCULINE)} фон"
    return _one(rng, (f"{thing} на {ground}", f"{thing} на {ground}", f"на {ground} {thing}", f"{thing}, {nominative}"))


def _land_ru(scene: Landscape, rng: Rng) -> str:
    things = []
    if scene.house:
        things.append(f"{_ru(scene.house, _MASCULINE)} дом")
    if scene.tree:
        things.append(f"{_ru(scene.tree, _NEUTER)} дерево")
    hills = f"{_ru(scene.hills, _PLURAL)} {_one(rng, ('горы', 'холмы'))}" if scene.hills else ""
    sun = ""
    if scene.sun:
        night = scene.sky == "black"
        sun = f"{_ru(scene.sun, _FEMININE)} луна" if night else f"{_ru(scene.sun, _NEUTER)} солнце"
    if things and rng.random() < 0.7:
        head = f"{things[0]} на {_ru(scene.ground, _PREPOSITIONAL)} поле под {_ru(scene.sky, _INSTRUMENTAL)} небом"
        return ", ".join(filter(None, (head, sun, hills)))
    sky, ground = f"{_ru(scene.sky, _NEUTER)} небо", f"{_ru(scene.ground, _NEUTER)} поле"
    return ", ".join(filter(None, (_one(rng, ("пейзаж", "")), sky, ground, hills, sun, *things)))


# German
_SHAPES_DE = {
    "circle": ("Kreis", _MASCULINE),
    "square": ("Quadrat", _NEUTER),
    "triangle": ("Dreieck", _NEUTER),
    "star": ("Stern", _MASCULINE),
    "heart": ("Herz", _NEUTER),
    "ring": ("Ring", _MASCULINE),
    "hexagon": ("Sechseck", _NEUTER),
    "cross": ("Kreuz", _NEUTER),
    "diamond": ("Raute", _FEMININE),
    "crescent": ("Halbmond", _MASCULINE),
}
_ARTICLES_DE = ("ein", "eine", "ein")
_ENDINGS_DE = ("er", "e", "es")
_WHERE_DE = ("in der Mitte", "links", "rechts", "oben", "unten")


def _de(colour: str, ending: str) -> str:
    return BY_NAME[colour].german + ending


def _plain_de(scene: Plain, mention: Mention, rng: Rng) -> str:
    noun, gender = _SHAPES_DE[scene.shape] if mention.shape else ("Form", _FEMININE)
    ending = _ENDINGS_DE[gender]
    size = ("klein" + ending, "", "groß" + ending)[_size(scene)] if mention.size else ""
    colour = _de(scene.foreground, ending) if mention.foreground else ""
    thing = _words(_ARTICLES_DE[gender], size, colour, noun, _WHERE_DE[_where(scene)] if mention.position else "")
    if not mention.background:
        return thing
    background = scene.background
    return _one(
        rng,
        (
            f"{thing} auf {_de(background, 'em')} Hintergrund",
            f"{thing} auf einem {_de(background, 'en')} Hintergrund",
            f"{thing}, {_de(background, 'er')} Hintergrund",
        ),
    )


def _land_de(scene: Landscape, rng: Rng) -> str:
    things = []
    if scene.house:
        things.append(f"ein {_de(scene.house, 'es')} Haus")
    if scene.tree:
        things.append(f"ein {_de(scene.tree, 'er')} Baum")
    hills = f"{_de(scene.hills, 'e')} {_one(rng, ('Berge', 'Hügel'))}" if scene.hills else ""
    sun = f"{_de(scene.sun, 'er')} Mond" if scene.sky == "black" and scene.sun else ""
    if scene.sun and not sun:
        sun = f"{_de(scene.sun, 'e')} Sonne"
    if things and rng.random() < 0.7:
        head = f"{things[0]} auf einer {_de(scene.ground, 'en')} Wiese unter {_de(scene.sky, 'em')} Himmel"
        return ", ".join(filter(None, (head, sun, hills)))
    sky, ground = f"{_de(scene.sky, 'er')} Himmel", f"{_de(scene.ground, 'er')} Boden"
    return ", ".join(filter(None, (_one(rng, ("Landschaft", "")), sky, ground, hills, sun, *things)))


# Chinese
_SHAPES_ZH = {
    "circle": "圆形",
    "square": "方形",
    "triangle": "三角形",
    "star": "星星",
    "heart": "心形",
    "ring": "圆环",
    "hexagon": "六边形",
    "cross": "十字",
    "diamond": "菱形",
    "crescent": "月牙",
}
_WHERE_ZH = ("中间", "左边", "右边", "上面", "下面")


def _zh(colour: str) -> str:
    return BY_NAME[colour].chinese


def _plain_zh(scene: Plain, mention: Mention, rng: Rng) -> str:
    size = ("小", "", "大")[_size(scene)] if mention.size else ""
    colour = _zh(scene.foreground) + "的" if mention.foreground else ""
    thing = size + colour + (_SHAPES_ZH[scene.shape] if mention.shape else "形状")
    where = _WHERE_ZH[_where(scene)] + "的" if mention.position else ""
    thing = where + thing
    if not mention.background:
        return thing
    background = _zh(scene.background)
    return _one(rng, (f"{background}背景上的{thing}", f"{thing},{background}背景", f"{background}背景上有一个{thing}"))


def _land_zh(scene: Landscape, rng: Rng) -> str:
    things = []
    if scene.house:
        things.append(f"{_zh(scene.house)}的房子")
    if scene.tree:
        things.append(f"{_zh(scene.tree)}的树")
    hills = f"{_zh(scene.hills)}的山" if scene.hills else ""
    sun = f"{_zh(scene.sun)}的{'月亮' if scene.sky == 'black' else '太阳'}" if scene.sun else ""
    if things and rng.random() < 0.7:
        return ",".join(filter(None, (f"{_zh(scene.sky)}天空下{_zh(scene.ground)}田野上的{things[0]}", sun, hills)))
    return ",".join(filter(None, (f"{_zh(scene.sky)}的天空", f"{_zh(scene.ground)}的田野", hills, sun, *things)))
