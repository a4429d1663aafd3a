"""Harmonise: every layer in one CRS, with valid flat geometry, ready to be measured.

A repair is made only where it is certain: an invalid polygon is made valid when that changes its area by less than one part in a
thousand, and said so; otherwise the row is left out. Z and M are dropped. A row that repeats another exactly is left out.

Some layers are also counted by neighbourhood alone (`BY_NAME`): a row of theirs that has no coordinates but the code or name of its
neighbourhood stays, without geometry. Structures of a damage survey are not among them: without a place they block no road, and
the share of an area that was looked at means nothing for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo import complaints_intake, registers
from geo.attachment import attach, without_place
from geo.crs import Bounds, to_metric, turned
from geo.decisions import Decided, noted
from geo.dependencies import Dependencies
from geo.errors import Finding, SchemaError, finding, raise_errors
from geo.left_out import left_out, reachable, together
from geo.messages import message
from geo.overlay import OUTSIDE, Shapes, locate, middle
from geo.pcodes import code_findings
from geo.reading import RASTERS, read_file, sha256
from geo.repeated_units import unit_findings
from geo.validation import validate

if TYPE_CHECKING:
    from geo.evidence import Evidence
    from geo.study import LayerSpec, Study

REPAIR_TOLERANCE = 1e-3
OVERLAP_M2 = 100.0
FARTHEST = 1e8  # no coordinate on Earth, in degrees or metres, is larger; NaN and infinity are not smaller either
KINDS = {
    "Point": "point",
    "MultiPoint": "point",
    "LineString": "line",
    "MultiLineString": "line",
    "LinearRing": "line",
    "Polygon": "polygon",
    "MultiPolygon": "polygon",
}
BY_NAME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "population": ("neighbourhood", "id", "name_ar", "name_en"),
        "complaints": ("neighbourhood",),
        "facilities": ("neighbourhood",),
    }
)
BY_ASSET: Mapping[str, tuple[str, ...]] = MappingProxyType({"complaints": ("asset",)})  # `geo.complaints.at_assets`
CODED: Mapping[str, str] = MappingProxyType(
    {"neighbourhoods": "id", "population": "id", "complaints": "neighbourhood", "facilities": "neighbourhood"}
)
Flags = npt.NDArray[np.bool_]
Extent = Any  # "study", a shapely geometry, or None; shapely has no types


@dataclass(frozen=True)
class Layer:
    """A layer that can be measured.

    Attributes
    ----------
    frame
        Columns of the schema plus `row`; geometry in the study's CRS (metres), valid, two-dimensional. A plain table for
        population without shapes; empty where the layer is a raster. Rows of `BY_NAME` layers may have no geometry.
    extent
        Where the layer looked: "study", a shape in the study's CRS, or None where nobody said.
    rows_read, rows_chosen
        Rows of the file, and those of them that `where` of the layer's entry selects.
    rows_lost
        Rows that the file speaks of and that could not be read out of it.
    sha256, extent_sha256
        Hashes of the file and of the file of the extent, if that is one.
    names
        Once placed: what became of the names that were needed to place rows (`geo.places.match`), or None.
    """

    name: str
    frame: pd.DataFrame
    spec: LayerSpec
    left_out: gpd.GeoDataFrame
    findings: tuple[Finding, ...]
    rows_read: int
    sha256: str
    extent: Extent = None
    raster: Path | None = None
    extent_sha256: str = ""
    rows_chosen: int = 0
    names: pd.DataFrame | None = None
    rows_lost: int = 0


@dataclass(frozen=True)
class City:
    """The harmonised layers of a study. `zones` are the neighbourhoods, indexed by id and in the order of their ids.

    `decided` are the decisions of people about names; `scenario` names the population scenario it stands under, empty is now.
    `evidence` (`geo.evidence.Evidence`) is what was weighed where there are several sources of damage. `roads` are all roads, those
    outside of every neighbourhood too: ways around lead over them; `networks` are the others alike. `dependencies` are the needs
    between networks.
    """

    study: Study
    zones: gpd.GeoDataFrame
    layers: Mapping[str, Layer] = field(default_factory=dict)
    decided: Decided = field(default_factory=Decided)
    scenario: str = ""
    evidence: Evidence | None = None
    roads: Layer | None = None
    networks: Mapping[str, Layer] = field(default_factory=dict)
    dependencies: Dependencies = field(default_factory=Dependencies)

    def frame(self, name: str) -> gpd.GeoDataFrame | None:
        """A layer's table, or None where the study has no such layer."""
        layer = self.layers.get(name)
        return None if layer is None else layer.frame


def read_layer(study: Study, name: str, *, area: Bounds | None = None, zones: Shapes | None = None) -> Layer:
    """Read, validate and harmonise one layer of a study.

    Parameters
    ----------
    area
        Box of the neighbourhoods in the study's CRS, against which a place is judged.
    zones
        Their shapes by code, where they are known: complaints keep to their side of a boundary when their place is made coarse.

    Raises
    ------
    LayerError, SchemaError, CrsError
        What was found, expected, and what to do; see each.
    """
    spec = study.layers[name]  # type: ignore[index]  # names come from the study itself
    path = study.path(spec.path)
    extent, extent_sha256 = declared_extent(study, spec, name, area=area)
    if path.suffix.lower() in RASTERS:
        return replace(_raster(study, name, spec, path), extent=extent, extent_sha256=extent_sha256)
    raw = read_file(path, spec, name)
    layer = prepared(study, name, spec, raw, area=area, zones=zones)
    return replace(layer, sha256=sha256(path), extent=extent, extent_sha256=extent_sha256)


def prepared(
    study: Study, name: str, spec: LayerSpec, raw: pd.DataFrame, *, area: Bounds | None = None, zones: Shapes | None = None
) -> Layer:
    """Validate and harmonise a table that was read, wherever it came from; see `read_layer` for what is raised.

    The layer has no hash and no extent yet.
    """
    if spec.crs and isinstance(raw, gpd.GeoDataFrame):
        raw = raw.set_crs(spec.crs, allow_override=True)
    if spec.axes == "yx" and isinstance(raw, gpd.GeoDataFrame):
        raw = turned(raw)
    if name == complaints_intake.LAYER:
        raw = complaints_intake.without_persons(raw)
    checked = validate(raw, name, spec)
    chosen = len(checked.frame)
    frame, aside, found = checked.frame, list(checked.left_out), list(checked.findings)
    if name in CODED:
        found += code_findings(frame, CODED[name], name, within=study.pcodes)
        raise_errors(found, SchemaError)
    if name in BY_NAME and name != "population" and not isinstance(frame, gpd.GeoDataFrame):
        frame = gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries([None] * len(frame), index=frame.index, crs=study.crs))
    if isinstance(frame, gpd.GeoDataFrame):
        flat, named, unplaced = _placed(frame, name)
        aside += unplaced
        if len(flat):
            metric, distant = _within_reach(to_metric(flat, study.crs, name, declared=spec.crs, area=area), name)
            aside += distant
            flat, broken, repaired = _valid(metric, name)
            aside += broken
            found += repaired
        frame, repeated = _once(_joined(flat, named, study.crs), name)
        aside += repeated
    if name == complaints_intake.LAYER:
        frame, again, noticed = complaints_intake.as_evidence(gpd.GeoDataFrame(frame, crs=study.crs), zones)
        lost = complaints_intake.redacted(together([*aside, *again], study.crs))
        return Layer(name, frame, spec, lost, (*found, *noticed), len(raw), "", rows_chosen=chosen)
    return Layer(name, frame, spec, together(aside, study.crs), tuple(found), len(raw), "", rows_chosen=chosen)


def read_zones(layer: Layer) -> tuple[gpd.GeoDataFrame, tuple[Finding, ...]]:
    """Neighbourhoods indexed by id, sorted by id; overlaps of more than 100 m² are reported, and names that stand several times.

    Where two overlap, what lies in both counts for the first in the order of ids.
    """
    zones = gpd.GeoDataFrame(layer.frame.set_index("id").sort_index())
    for column in ("name_ar", "name_en", "district"):
        if column not in zones:
            zones[column] = pd.Series(pd.NA, index=zones.index, dtype="string")
    columns = {name: name for name in ("name_ar", "name_en") if layer.frame.get(name) is not None and zones[name].notna().any()}
    repeated = unit_findings(layer.frame, {"id": "id", **columns}, layer.name)
    return zones, (*_overlaps(zones, layer.name), *repeated)


def _overlaps(zones: gpd.GeoDataFrame, where: str) -> tuple[Finding, ...]:
    shapes = zones.geometry.to_numpy()
    one, two = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    one, two = one[one < two], two[one < two]
    shared = shapely.area(shapely.intersection(shapes[one], shapes[two]))
    large = shared > OVERLAP_M2
    if not large.any():
        return ()
    pairs = [f"{zones.index[a]} × {zones.index[b]}" for a, b in zip(one[large], two[large], strict=True)]
    return (
        finding(
            "overlap",
            "warning",
            where,
            message("Neighbourhoods overlap by {area} m² in all.", area=round(float(shared[large].sum()))),
            expected=message("Neighbourhoods that only touch."),
            remedy=message("What lies in two of them is counted for the first in the order of codes; mend the boundaries."),
            rows=pairs,
        ),
    )


def by_code(zones: pd.DataFrame) -> Shapes:
    """Shapes of the neighbourhoods (`id`, `geometry`) in the order of their codes: what lies in two counts for the first."""
    shapes: Shapes = zones.sort_values("id")["geometry"].to_numpy()
    return shapes


def declared_extent(study: Study, spec: LayerSpec, name: str, *, area: Bounds | None = None) -> tuple[Extent, str]:
    """Where a layer says that it looked, and the hash of the file that says so ("" where none does).

    Raises
    ------
    SchemaError, LayerError, CrsError
        The file holds no polygons, can't be read, or lies elsewhere.
    """
    if spec.extent in (None, "study"):
        return spec.extent, ""
    path = study.path(str(spec.extent))
    return _extent(study, spec, name, area), sha256(path)


def _extent(study: Study, spec: LayerSpec, name: str, area: Bounds | None) -> Extent:
    where = f"{name}.extent"
    own = spec.model_copy(update={"columns": {}, "sublayer": None, "header": None, "crs": None})
    shapes = read_file(study.path(str(spec.extent)), own, where)
    polygons = isinstance(shapes, gpd.GeoDataFrame) and bool((shapes.geom_type.map(KINDS) == "polygon").any())
    if not polygons:
        raise SchemaError(
            finding(
                "no-geometry",
                "error",
                where,
                message("The file of the extent holds no polygon."),
                expected=message("Polygons of the area that was looked at."),
            )
        )
    placed, _ = _within_reach(to_metric(shapes, study.crs, where, area=area), where)
    return shapely.union_all(made_valid(placed.geometry.to_numpy()))


def _raster(study: Study, name: str, spec: LayerSpec, path: Path) -> Layer:
    found = []
    if name != "population":
        found.append(
            finding(
                "raster",
                "error",
                name,
                message("{path} is a raster.", path=path.name),
                expected=message("Only population may be a raster."),
            )
        )
    if spec.raster is None:
        found.append(
            finding(
                "raster-unit",
                "error",
                name,
                message("study.toml does not say what the cells of {path} hold.", path=path.name),
                expected=message("People per cell, or people per km²: the two differ by the area of a cell."),
                remedy=message('Write raster = "count" or raster = "density_per_km2".'),
            )
        )
    raise_errors(found, SchemaError)
    return Layer(name, pd.DataFrame(), spec, together([], study.crs), (), 0, sha256(path), raster=path)


def _placed(frame: gpd.GeoDataFrame, name: str) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, list[gpd.GeoDataFrame]]:
    """Rows with a geometry of the right kind and finite coordinates, flat; rows without, which have a code or name instead."""
    shapes = frame.geometry.to_numpy()
    bounds = shapely.bounds(shapes)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes)) & (np.abs(bounds) < FARTHEST).all(axis=1)
    allowed = next(row["type"].split("|") for row in registers.table("schema", name) if row["column"] == "geometry")
    fits = pd.Series(frame.geom_type.map(KINDS), index=frame.index).isin(allowed).to_numpy()
    given = [column for column in {*BY_NAME.get(name, ()), *BY_ASSET.get(name, ())} if column in frame]
    named = ~there & frame[given].notna().any(axis=1).to_numpy()
    kept = frame[there & fits]
    if kept.empty and not named.any():
        raise SchemaError(_no_geometry(frame, name))
    aside = [
        left_out(frame[rows], name, reason)
        for rows, reason in ((~there & ~named, "geometry-missing"), (there & ~fits, "geometry-type"))
        if rows.any()
    ]
    return kept.set_geometry(shapely.force_2d(kept.geometry.to_numpy()), crs=frame.crs), frame[named], aside


def _joined(flat: gpd.GeoDataFrame, named: gpd.GeoDataFrame, crs: str) -> gpd.GeoDataFrame:
    """Rows with and without geometry in the order of the file."""
    if named.empty:
        return flat
    bare = named.set_geometry(gpd.GeoSeries([None] * len(named), index=named.index, crs=crs))
    return gpd.GeoDataFrame(pd.concat([flat, bare]).sort_index(), crs=crs) if len(flat) else bare


def _no_geometry(frame: gpd.GeoDataFrame, name: str) -> Finding:
    kinds = sorted(set(frame.geom_type.dropna().astype(str)))
    allowed = next(row["type"].split("|") for row in registers.table("schema", name) if row["column"] == "geometry")
    return finding(
        "geometry-type",
        "error",
        name,
        message("No row has a geometry that can be used; the file holds {kinds}.", kinds=kinds or ("-",)),
        expected=message("Valid geometry of the kind {kinds}.", kinds=allowed),
        remedy=message("Check that this is the file of this layer."),
    )


def _within_reach(frame: gpd.GeoDataFrame, name: str) -> tuple[gpd.GeoDataFrame, list[gpd.GeoDataFrame]]:
    """Rows that have a place in the study's CRS; those on the other side of the Earth are left out."""
    there = reachable(frame)
    if there.all():
        return frame, []
    if not there.any():
        raise SchemaError(_no_geometry(frame, name))
    return frame[there], [left_out(frame[~there].assign(geometry=None), name, "geometry-unreachable", crs=frame.crs)]


def made_valid(shapes: Shapes) -> Shapes:
    """`shapely.make_valid` by structure, empty for a shape for which GEOS has no answer: one of them stops the whole array.

    >>> fly = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    >>> made_valid(np.array([fly], dtype=object))[0].area
    2.0
    """
    try:
        return np.asarray(shapely.make_valid(shapes, method="structure", keep_collapsed=False))
    except shapely.errors.GEOSException:
        if len(shapes) == 1:
            return np.array([shapely.Polygon()], dtype=object)
    half = len(shapes) // 2
    return np.concatenate([made_valid(shapes[:half]), made_valid(shapes[half:])])


def _valid(frame: gpd.GeoDataFrame, name: str) -> tuple[gpd.GeoDataFrame, list[gpd.GeoDataFrame], list[Finding]]:
    """Invalid shapes repaired where certain; the others left out."""
    shapes = frame.geometry.to_numpy().copy()
    invalid = ~shapely.is_valid(shapes)
    if not invalid.any():
        return frame, [], []
    before = shapes[invalid]
    after = made_valid(before)
    area = np.abs(shapely.area(before))
    certain = ~shapely.is_empty(after) & (np.abs(shapely.area(after) - area) <= REPAIR_TOLERANCE * np.maximum(area, 1e-9))
    shapes[invalid] = np.where(certain, after, before)
    broken = np.zeros(len(frame), dtype=bool)
    broken[np.flatnonzero(invalid)[~certain]] = True
    if broken.all():
        raise SchemaError(_no_geometry(frame, name))
    repaired = frame[invalid & ~broken]
    found = []
    if len(repaired):
        found.append(
            finding(
                "repaired",
                "info",
                name,
                message("{n} invalid shapes repaired; their area did not change.", n=len(repaired)),
                rows=repaired["row"],
            )
        )
    aside = [left_out(frame[broken], name, "geometry-invalid")] if broken.any() else []
    return frame.set_geometry(shapes, crs=frame.crs)[~broken], aside, found


def _once(frame: gpd.GeoDataFrame, name: str) -> tuple[gpd.GeoDataFrame, list[gpd.GeoDataFrame]]:
    """Rows that repeat an earlier row in every column and in geometry, and carry a code of their own, count once."""
    if name in ("neighbourhoods", "population") or not frame["id"].duplicated().any():
        return frame, []
    key = frame.drop(columns=["row", "geometry"]).assign(shape=shapely.to_wkb(frame.geometry.to_numpy()))
    repeated = key.duplicated()
    return frame[~repeated], [left_out(frame[repeated], name, "repeated")] if repeated.any() else []


def place(layer: Layer, zones: gpd.GeoDataFrame, decided: Decided | None = None) -> Layer:
    """The layer with a column `zone` (id of the neighbourhood); rows outside all of them are listed as left out.

    A footprint belongs to the zone of a point on its surface. Points and footprints outside stay in the table with no zone:
    they count for none, but their rubble can reach a road inside. Lines that touch no zone leave the table. A row without geometry
    belongs to the zone of its code or name (`geo.attachment`); one whose name is not certain leaves the table until somebody
    decides it.
    """
    if not isinstance(layer.frame, gpd.GeoDataFrame) or layer.name in ("neighbourhoods", "population"):
        return layer
    frame, shapes = layer.frame, layer.frame.geometry.to_numpy()
    bare = without_place(frame).to_numpy()
    line = shapely.get_dimensions(shapes) == 1
    zone = np.full(len(frame), OUTSIDE, dtype=np.intp)
    zone[~line & ~bare] = locate(*middle(shapes[~line & ~bare]), zones.geometry.to_numpy())
    crossing = np.zeros(len(frame), dtype=bool)
    if line.any():
        areas = zones.geometry.to_numpy()
        shapely.prepare(areas)
        crossing[np.flatnonzero(line)[np.unique(shapely.STRtree(shapes[line]).query(areas, predicate="intersects")[1])]] = True
    outside = (zone == OUTSIDE) & ~crossing & ~bare
    names = pd.Series(zones.index[zone], index=frame.index, dtype="string").mask(zone == OUTSIDE)
    placed = replace(layer, frame=frame.assign(zone=names))
    aside = [layer.left_out, left_out(frame[outside], layer.name, "outside", value=_telling(layer.name))]
    if bare.any():
        placed, unknown = _by_name(placed, bare, zones, decided or Decided())
        aside.append(unknown)
    kept = (~outside | ~line) & ~(bare & placed.frame["zone"].isna().to_numpy())
    return replace(placed, frame=placed.frame[kept], left_out=together(aside, frame.crs))


def _by_name(layer: Layer, bare: Flags, zones: gpd.GeoDataFrame, decided: Decided) -> tuple[Layer, gpd.GeoDataFrame]:
    """The layer with the zones of its rows without geometry, and those of them that have none."""
    rows, columns, known = layer.frame[bare], BY_NAME[layer.name], decided.of(layer.name, zones.index)
    found = attach(rows, zones, codes=columns, names=columns, decided=known, where=layer.name)
    zone = layer.frame["zone"].mask(bare, found.frame["zone"])
    asked = noted(found.names[~found.names["name"].isin(list(known))], layer.name)
    unknown = left_out(found.unplaced, layer.name, "no-neighbourhood", value=columns[0])
    told = (*layer.findings, *(one for one in found.findings if one.code != "not-placed"), *asked)  # the left-out rows say it
    return replace(layer, frame=layer.frame.assign(zone=zone), findings=told, names=found.names), unknown


def _telling(name: str) -> str | None:
    """The column that tells most of a row that is left out."""
    return {"damage": "state", "facilities": "kind"}.get(name.partition("/")[0])
