"""The ranked list as KML 2.2 (OGC 07-147r2), for phones and globes: neighbourhoods in colours of their ranks, with all numbers.

Numbers are written as the run holds them; an unknown value has no element. Coordinates are WGS 84, longitude first.
Known bias: holes stay, but a program may draw the label of a place with several parts more than once.
"""

from __future__ import annotations

import re
from io import BytesIO
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import geopandas as gpd
import shapely

from geo.export import DEGREES, heading, records
from geo.messages import FSI, PDI, Lang

NAMESPACE = "http://www.opengis.net/kml/2.2"
FIFTHS = ("0c2c84", "225ea8", "1d91c0", "7fcdbb", "c7e9b4")  # YlGnBu, most urgent first
UNRANKED = "9a9a9a"
NOT_XML = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff{FSI}{PDI}]")


def colour(rank: int | None, ranked: int) -> str:
    """Colour of a rank as red, green, blue.

    >>> colour(1, 10), colour(10, 10), colour(None, 10)
    ('0c2c84', 'c7e9b4', '9a9a9a')
    """
    return UNRANKED if rank is None else FIFTHS[min(5 * (rank - 1) // max(ranked, 1), 4)]


def kml_bytes(table: gpd.GeoDataFrame, *, title: str, lang: Lang) -> bytes:
    """A ranked table as one KML document.

    Parameters
    ----------
    table
        Columns `id, rank, name_ar, name_en` and any others; any CRS.
    """
    out = BytesIO()
    xml = XMLGenerator(out, "utf-8", short_empty_elements=True)
    xml.startDocument()
    with _In(xml, "kml", xmlns=NAMESPACE), _In(xml, "Document"):
        _said(xml, "name", title)
        for shade in (*FIFTHS, UNRANKED):
            _style(xml, shade)
        placed = table.to_crs("EPSG:4326")
        shapes = shapely.orient_polygons(shapely.set_precision(placed.geometry.to_numpy(), 10.0**-DEGREES, mode="pointwise"))
        rows = records(placed)
        ranked = sum(row["rank"] is not None for row in rows)
        for row, shape in zip(rows, shapes, strict=True):
            with _In(xml, "Placemark", id=f"n-{row['id']}"):
                name = row[f"name_{lang}"] or row["name_en"] or row["name_ar"] or row["id"]
                _said(xml, "name", name if row["rank"] is None else f"{row['rank']}. {name}")
                _said(xml, "styleUrl", f"#c{colour(row['rank'], ranked)}")
                with _In(xml, "ExtendedData"):
                    for column, value in row.items():
                        if value is not None:
                            with _In(xml, "Data", name=column):
                                _said(xml, "displayName", _heading(column, lang))
                                _said(xml, "value", str(value))
                if shape is not None and not shape.is_empty:
                    _shape(xml, shape)
    xml.endDocument()
    return out.getvalue()


def _heading(column: str, lang: Lang) -> str:
    try:
        return heading(column, lang)
    except KeyError:
        return column


class _In:
    """An element, open as long as the `with` block."""

    def __init__(self, xml: XMLGenerator, element: str, **attributes: str) -> None:
        self.xml, self.element = xml, element
        self.attributes = AttributesImpl({key: NOT_XML.sub("", text) for key, text in attributes.items()})

    def __enter__(self) -> None:
        self.xml.startElement(self.element, self.attributes)

    def __exit__(self, *_: object) -> None:
        self.xml.endElement(self.element)


def _said(xml: XMLGenerator, name: str, text: str) -> None:
    with _In(xml, name):
        xml.characters(NOT_XML.sub("", text))


def _style(xml: XMLGenerator, shade: str) -> None:
    turned = shade[4:6] + shade[2:4] + shade[:2]  # KML says blue, green, red
    with _In(xml, "Style", id=f"c{shade}"):
        with _In(xml, "LineStyle"):
            _said(xml, "color", "ff404040")
        with _In(xml, "PolyStyle"):
            _said(xml, "color", f"b0{turned}")


def _shape(xml: XMLGenerator, shape: shapely.Geometry) -> None:
    if hasattr(shape, "geoms"):
        with _In(xml, "MultiGeometry"):
            for part in shape.geoms:
                _shape(xml, part)
    elif shape.geom_type == "Polygon":
        with _In(xml, "Polygon"):
            for side, rings in (("outerBoundaryIs", [shape.exterior]), ("innerBoundaryIs", shape.interiors)):
                for ring in rings:
                    with _In(xml, side), _In(xml, "LinearRing"):
                        _said(xml, "coordinates", _coordinates(ring))
    else:
        with _In(xml, shape.geom_type):
            _said(xml, "coordinates", _coordinates(shape))


def _coordinates(line: shapely.Geometry) -> str:
    return " ".join(f"{round(float(x), DEGREES)},{round(float(y), DEGREES)}" for x, y in shapely.get_coordinates(line))
