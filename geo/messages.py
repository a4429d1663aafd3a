"""What Tarmim says, in Arabic and English.

English is the key: `message("layer {layer}: empty", layer="roads")` keeps the sentence and its values apart until somebody
reads it, in the language of the reader. The Arabic sentences stand in `data/locale/ar/*.po`, one gettext catalogue a package.
A value put into an Arabic sentence is wrapped in Unicode isolates (FSI … PDI), so that a Latin file name or a number does not
turn the words around it. Bias: a sentence without an Arabic entry is shown in English; a test refuses such a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from gettext import NullTranslations

Lang = Literal["ar", "en"]
LANGS: tuple[Lang, ...] = get_args(Lang)
FSI, PDI = "\u2068", "\u2069"


COMMANDS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F)), "\ufffd") | dict.fromkeys(b"\t\n\r", " ")


@lru_cache(maxsize=len(LANGS))
def catalogue(lang: Lang) -> NullTranslations:
    """All catalogues of a language as one; English has none and answers with the key."""
    from gettext import GNUTranslations, NullTranslations

    texts = sorted(files("data").joinpath("locale", lang).iterdir(), key=lambda f: f.name) if lang != "en" else []
    if not texts:
        return NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    merged = NullTranslations()
    for text in texts:
        compiled = BytesIO()
        write_mo(compiled, read_po(BytesIO(text.read_bytes()), locale=lang))
        compiled.seek(0)
        translations = GNUTranslations(compiled)
        translations.add_fallback(merged)
        merged = translations
    return merged


def fill(text: str, lang: Lang, values: Mapping[str, object]) -> str:
    """The sentence with its values; nested messages are rendered in the same language, a mapping by language gives its own."""
    if not values:
        return text
    return text.format(**{name: shown(value, lang) for name, value in values.items()})


def shown(value: object, lang: Lang) -> str:
    if isinstance(value, Message):
        return value.render(lang)
    if isinstance(value, Mapping):
        value = value.get(lang, "")
    if isinstance(value, (list, tuple)):
        between = "، " if lang == "ar" else ", "
        return between.join(shown(item, lang) for item in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{FSI}{plain(str(value))}{PDI}" if lang == "ar" else plain(str(value))


def plain(text: str) -> str:
    r"""A text of others on one line, without what would command a terminal or turn the words around it.

    >>> plain("a\x1b[2J\u202eb\nc") == "a\ufffd[2J\ufffdb c"
    True
    """
    return text if text.isprintable() else text.translate(COMMANDS)


def gettext(text: str, lang: Lang, /, **values: object) -> str:
    """The sentence in a language.

    >>> gettext("layer {layer}: the file is empty", "en", layer="roads")
    'layer roads: the file is empty'
    """
    return fill(catalogue(lang).gettext(text), lang, values)


@dataclass(frozen=True)
class Message:
    """A sentence and its values, not yet in any language."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)
    many: str | None = None
    n: int = 0

    def render(self, lang: Lang) -> str:
        if not self.text:  # gettext answers the empty key with its header
            return ""
        found = catalogue(lang)
        text = found.gettext(self.text) if self.many is None else found.ngettext(self.text, self.many, self.n)
        return fill(text, lang, self.values)

    def both(self) -> dict[str, str]:
        return {lang: self.render(lang) for lang in LANGS}

    def __str__(self) -> str:
        return self.render("en")


def message(text: str, /, **values: object) -> Message:
    """A sentence of the catalogues: `{name}` stands for a value.

    >>> message("{n} rows", n=2260).render("en")
    '2,260 rows'
    """
    return Message(text, values)


def messages(one: str, many: str, n: int, /, **values: object) -> Message:
    """A sentence that counts: Arabic has six forms, English two. `{n}` is the number.

    >>> str(messages("{n} row", "{n} rows", 1)), str(messages("{n} row", "{n} rows", 1200))
    ('1 row', '1,200 rows')
    """
    return Message(one, {"n": n, **values}, many, n)
