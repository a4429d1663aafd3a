"""The preview of a survey: where its features would fall on the city, under each coordinate system that may be meant.

One page without a script: the study's neighbourhoods as an outline and the features over it, a picture a system, so that a person
who knows the city chooses. Of many features an even sample is drawn, and the caption says so. Drawn in the study's CRS, north up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import shapely
from markupsafe import Markup

from geo.messages import Lang, Message, message
from maps.page import inline_style, policy, rendered

if TYPE_CHECKING:
    import geopandas as gpd

WIDTH: Final = 640
HEIGHT: Final = 440
MARGIN: Final = 0.12  # of the city's box, left free around it
LATITUDE_FIRST = message("{crs}, latitude before longitude")


@dataclass(frozen=True)
class Picture:
    """One coordinate system: its caption and the paths of an SVG picture."""

    caption: str
    counted: str
    command: str
    outline: Markup
    areas: Markup
    lines: Markup
    points: Markup


def system_name(row: Mapping[str, Any]) -> Message:
    """A coordinate system and its axes, as a person reads it."""
    if row["axes"] == "yx":
        return message(LATITUDE_FIRST.text, crs=row["crs"])
    return message("{crs}", crs=row["crs"])


def preview_page(
    zones: gpd.GeoDataFrame, shown: Sequence[tuple[Mapping[str, Any], gpd.GeoDataFrame]], *, name: str, survey: str, lang: Lang
) -> str:
    """The page, which asks no other file for anything.

    Parameters
    ----------
    zones
        The neighbourhoods, in the study's CRS.
    shown
        Of `geo.intake.preview`: the row of each system, and the features as it puts them, in the study's CRS.
    name, survey
        The file as its sender called it, and the number of its receipt.
    """
    box = _framed(tuple(zones.total_bounds))
    pictures = [_picture(zones, row, features, box, survey, lang) for row, features in shown]
    style = inline_style()
    title = message("Where does {name} belong?", name=name).render(lang)
    said = {
        "lead": message("The grey outline is the city. Choose the picture in which the features lie where they should.").render(
            lang
        ),
        "nothing": message("No known coordinate system puts it on the city. Ask who made the file.").render(lang),
        "choose": message("If this one is right:").render(lang),
    }
    return rendered(
        "preview.html",
        lang,
        assets_url="",
        title=title,
        city=name,
        pictures=pictures,
        said=said,
        style=Markup(style),  # noqa: S704  # our own style sheets
        policy=policy((), style),
        width=WIDTH,
        height=HEIGHT,
    )


def _framed(box: tuple[float, float, float, float]) -> tuple[float, float, float]:
    """West, north and metres a pixel, so that the box lies in the middle with room around it."""
    west, south, east, north = box
    scale = max((east - west) / WIDTH, (north - south) / HEIGHT, 1e-9) * (1 + 2 * MARGIN)
    return (west + east - WIDTH * scale) / 2, (south + north + HEIGHT * scale) / 2, scale


def _picture(
    zones: gpd.GeoDataFrame,
    row: Mapping[str, Any],
    features: gpd.GeoDataFrame,
    box: tuple[float, float, float],
    survey: str,
    lang: Lang,
) -> Picture:
    west, north, scale = box
    view = shapely.box(west, north - HEIGHT * scale, west + WIDTH * scale, north)
    shapes = features.geometry.to_numpy()
    shapes = shapes[shapely.intersects(shapes, view)]
    kinds = shapely.get_dimensions(shapes)
    counted = message(
        "{inside} of {total} features lie in the city; {drawn} are drawn.",
        inside=int(row["inside"]),
        total=int(row["features"]),
        drawn=len(shapes),
    )
    turned = " --axes yx" if row["axes"] == "yx" else ""
    return Picture(
        system_name(row).render(lang),
        counted.render(lang),
        f"tarmim choose {survey} --crs {row['crs']}{turned}",
        _path(zones.geometry.to_numpy(), box),
        _path(shapes[kinds == 2], box),
        _path(shapes[kinds == 1], box),
        _dots(shapes[kinds == 0], box),
    )


def _path(shapes: Any, box: tuple[float, float, float]) -> Markup:
    """Outlines and lines as one SVG path, simplified to half a pixel."""
    west, north, scale = box
    parts = shapely.get_parts(shapely.simplify(shapely.force_2d(shapes), scale / 2))
    rings = shapely.get_rings(parts[shapely.get_dimensions(parts) == 2])
    drawn = []
    for line in (*rings, *parts[shapely.get_dimensions(parts) == 1]):
        places = shapely.get_coordinates(line)
        drawn.append("M" + "L".join(f"{(x - west) / scale:.1f},{(north - y) / scale:.1f}" for x, y in places))
    return Markup("").join(drawn)


def _dots(shapes: Any, box: tuple[float, float, float]) -> Markup:
    """Points as lines of no length, which a round line end makes dots."""
    west, north, scale = box
    places = shapely.get_coordinates(shapes)
    return Markup("").join(f"M{(x - west) / scale:.1f},{(north - y) / scale:.1f}h0" for x, y in places)
