"""Every word of the pages, in English; the Arabic stands in `data/locale/ar/maps.po`.

The script holds no word of its own: it gets these, in both languages, with the page. `{name}` stands for a value that the script
fills in. Words that count have all the plural forms of the language, chosen in the browser by the same rules (CLDR).
"""

from __future__ import annotations

from typing import Final

from geo.messages import LANGS, Lang, catalogue, gettext

WORDS: Final[dict[str, str]] = {
    "tarmim": "Tarmim",
    "title": "{city}: what to repair first",
    "title_list": "{city}: ranked list of neighbourhoods",
    "title_sector": "{city}: ranked list, {sector}",
    "run": "Run {run}",
    "generated": "Generated demo data",
    "generated_long": "The data of this city is generated for demonstration. It is not a survey of a real place.",
    "language": "Language",
    "pages": "Pages",
    "page_map": "Map",
    "page_list": "List",
    "page_about": "About this run",
    "sign_in": "Sign in",
    "sign_out": "Sign out",
    "signed_in": "Signed in as",
    "token": "Token",
    "token_note": "The administrator gives it to you. It is shown once, when it is made.",
    "needs_script": "The map needs JavaScript. The list works without it.",
    "loading": "Loading…",
    "failed_city": "The data can't be loaded. Reload the page; if that doesn't help, tell the person who runs the server.",
    "failed_layer": "This layer can't be loaded. Check the connection, then switch it on again.",
    # list
    "ranked": "Ranked neighbourhoods",
    "search": "Search",
    "search_hint": "Name or code",
    "district": "District",
    "districts_all": "All districts",
    "found": "Shown: {n} of {total}",
    "not_assessable": "Not assessable: survey needed",
    "nothing_found": "No neighbourhood fits. Clear the search or choose all districts.",
    "bar_note": "Bar: score, 0 to 100, with its low and high",
    # map
    "map": "Map of the neighbourhoods",
    "map_help": "Arrow keys move the map, plus and minus zoom. Choose a neighbourhood in the list.",
    "colour_by": "Colour by",
    "result": "Result",
    "criteria": "Criteria of the score",
    "measures_other": "Other measures",
    "score": "Score",
    "score_meaning": "0 to 100; the higher, the sooner to repair",
    "rank": "Rank",
    "decisions": "Ranks that were decided otherwise",
    "decided_short": "decided {rank}",
    "decided_both": "computed {rank}, decided {decided}",
    "decided_rank": "Rank decided: {rank}",
    "decided_other": "Moved because another neighbourhood was.",
    "decided_by": "Decided by {by} on {on}: {why}",
    "rank_meaning": "1 is to be repaired first",
    "legend": "Legend",
    "unknown": "Unknown",
    "zoom_in": "Zoom in",
    "zoom_out": "Zoom out",
    "whole_city": "Whole city",
    "scale_km": "{n} km",
    "scale_m": "{n} m",
    "layers": "Layers",
    "layer_left_out": "Rows left out of the calculation",
    "layer_shown": "Shown {n} of {total}",
    "layer_empty": "This layer has no rows.",
    "layer_too_big": "Left out of this file to keep it small. The served map has it.",
    # why
    "close": "Close",
    "rank_of": "of {total}",
    "tied": "= means: shares its rank with others",
    "between": "Between {low} and {high}",
    "coverage": "{share} of the weights are known",
    "coverage_low": "At least {share} must be known for a rank",
    "makes_up": "What makes up the score",
    "sum": "Sum of the points: the score",
    "weight": "Weight {share}",
    "scale_more": "No points at {low}, full points at {high}",
    "scale_less": "Full points at {low}, no points at {high}",
    "unknown_points": "Unknown: not counted, and not zero",
    "not_ranked": "Not enough is known for a score or a rank.",
    "measures_all": "All measures",
    "measure": "Measure",
    "value": "Value",
    "low_high": "Low – high",
    "surveyed": "Surveyed",
    "sources": "Sources",
    "date": "Date",
    "licence": "Licence",
    "rows_used": "{used} of {total} rows used",
    "code": "Code",
    "method": "Method",
    "method_text": "Scheme: {scheme}. The score puts the criteria together by their weights, each from no need to the worst."
    " A neighbourhood with less than {share} of the weights known gets no rank.",
    "ranked_count": "Ranked",
    "not_ranked_count": "Not assessable",
    # list page
    "interval": "Low – high",
    "places": "Rank, low – high",
    "places_unit": "90 of 100 draws",
    "places_of": "Rank {low} to {high} in 90 of 100 draws",
    "known": "Known",
    "known_short": "known",
    "name": "Neighbourhood",
    "downloads": "Downloads",
    "lists": "Lists",
    "list_all": "All sectors",
    "list_note": "Scores run from 0 to 100. Low and high show how sure a score is. An equals sign marks a shared rank.",
    "list_sector_note": "This list is ordered by the criteria of this sector alone; scores and ranks are its own.",
    "list_no_criteria": "This scheme has no criterion of this sector; the ranks are those of the whole run.",
    "cities": "Cities",
    "made_with": "Made with Tarmim {version}. Map drawing: Leaflet. Font: Cairo.",
}

COUNTED: Final[dict[str, tuple[str, str]]] = {
    "no_place": ("{n} row has no place and can't be drawn", "{n} rows have no place and can't be drawn"),
    "unknown_criteria": ("{n} criterion is unknown", "{n} criteria are unknown"),
}

EXAMPLES: Final[dict[Lang, dict[str, int]]] = {
    "en": {"one": 1, "other": 2},
    "ar": {"zero": 0, "one": 1, "two": 2, "few": 3, "many": 11, "other": 100},
}


def word(key: str, lang: Lang, /, **values: object) -> str:
    """A word of the pages in a language.

    >>> word("found", "en", n=3, total=109)
    'Shown: 3 of 109'
    """
    return gettext(WORDS[key], lang, **values)


def for_script(lang: Lang) -> dict[str, str | dict[str, str]]:
    """All words of a language, unfilled; those that count as a form by CLDR category.

    >>> for_script("en")["unknown_criteria"]
    {'one': '{n} criterion is unknown', 'other': '{n} criteria are unknown'}
    """
    plain: dict[str, str | dict[str, str]] = {key: gettext(text, lang) for key, text in WORDS.items()}
    for key, (one, many) in COUNTED.items():
        plain[key] = {category: catalogue(lang).ngettext(one, many, n) for category, n in EXAMPLES[lang].items()}
    return plain


def both(key: str) -> dict[str, str]:
    """A word in both languages."""
    return {lang: word(key, lang) for lang in LANGS}
