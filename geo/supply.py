"""Supply: how much of each neighbourhood's network is still joined to a source that works, and how many people are not.

Drawn lines become a graph: lines join where their ends meet, or one ends on another, within a tolerance; nodes join the lines they
lie on. What does not work joins nothing, and nothing joins at a node that does not work. What is then joined to a working source
(kinds in `data/network_sources.csv`) counts as supplied. People are spread evenly along the lines of their neighbourhood.

Known biases: valves, pressure and capacity are not in it, so that supply is an upper bound; gaps in the drawing wider than the
tolerance cut off whole quarters that are served; a pipe that nobody drew serves nobody.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely

from geo import registers
from geo.damage import share_of
from geo.facilities import working
from geo.flow import Flags
from geo.harmonise import City
from geo.overlay import Shapes, cut
from geo.study import NETWORKS

TOLERANCE_M = 1.0


def measure(city: City, people: pd.DataFrame, *, tolerance_m: float = TOLERANCE_M) -> pd.DataFrame:
    """`<network>_cut_off_share` of the length, and `<network>_cut_off_people`, for each network of the study that has sources.

    Parameters
    ----------
    people
        `people, people_low, people_high` by neighbourhood; NaN unknown.
    tolerance_m
        How far apart, in metres, ends still meet.

    Returns
    -------
    DataFrame
        Index: neighbourhoods. Best and low take elements of unknown state as working, high takes them as not working; coverage is
        the share of the length whose state is known. Share and people are NaN where the layer has no line.
    """
    tables = [_network(city, name, people, tolerance_m) for name in NETWORKS if name in city.layers]
    return pd.concat(tables, axis=1) if tables else pd.DataFrame(index=city.zones.index)


def _network(city: City, name: str, people: pd.DataFrame, tolerance_m: float) -> pd.DataFrame:
    layer, zones = city.layers[name], city.zones.index
    frame = layer.frame[layer.frame.geometry.notna() & ~layer.frame.geometry.is_empty]
    shapes = frame.geometry.to_numpy()
    state = working(frame)
    kinds = frame["kind"] if "kind" in frame else pd.Series(pd.NA, index=frame.index, dtype="string")
    sources = kinds.isin(registers.register("network_sources")[name]["kinds"].split("|")).to_numpy(dtype=bool)
    is_line = shapely.get_dimensions(shapes) == 1
    at = np.flatnonzero(is_line)
    pieces = cut(shapes[at], city.zones.geometry.to_numpy())

    def length_of(chosen: Flags) -> pd.Series[float]:
        return pd.Series(np.bincount(pieces.zone, pieces.length * chosen[at][pieces.line], minlength=len(zones)), index=zones)

    total = length_of(is_line)
    there = total.where(total > 0)
    if not sources.any():
        there = there * np.nan
    shares = {}
    for end, unknown in (("", 1.0), ("_low", 1.0), ("_high", 0.0)):
        joined = supplied(shapes, state.fillna(unknown).to_numpy() > 0, sources, tolerance_m=tolerance_m)
        shares[end] = length_of(~joined) / there
    silent = ~(share_of(layer, city) > 0) & (total == 0)
    note = np.select(
        [silent, total == 0, np.full(len(zones), not sources.any())], ["extent-unknown", "nothing-here", "no-sources"], ""
    )
    table = pd.DataFrame({f"share{end}": share for end, share in shares.items()})
    for end, share in shares.items():
        table[f"people{end}"] = share * people[f"people{end}"].fillna(people["people"])
    for one in ("share", "people"):
        table[f"{one}_coverage"] = (length_of(state.notna().to_numpy()) / there).fillna(0.0)
        table[f"{one}_note"] = note
    return table.add_prefix(f"{name}_cut_off_")


def supplied(shapes: Shapes, works: Flags, sources: Flags, *, tolerance_m: float = TOLERANCE_M) -> Flags:
    """Which elements work and are joined to a source that works.

    Parameters
    ----------
    shapes
        Lines and points in metres.

    Examples
    --------
    A tank, a main from it, a pipe that begins in the middle of the main, and one that nothing joins.

    >>> shapes = np.array([shapely.Point(0, 0), *shapely.from_wkt(["LINESTRING (0 0, 9 0)", "LINESTRING (5 0.5, 5 9)",
    ...     "LINESTRING (20 0, 30 0)"])])
    >>> supplied(shapes, np.ones(4, bool), np.array([True, False, False, False])).tolist()
    [True, True, True, False]
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    joined = np.zeros(len(shapes), dtype=bool)
    if not (works & sources).any():
        return joined
    line = shapely.get_dimensions(shapes) == 1
    parts, owner = shapely.get_parts(shapes, return_index=True)
    tips = np.concatenate(
        [shapely.get_point(parts[line[owner]], 0), shapely.get_point(parts[line[owner]], -1), parts[~line[owner]]]
    )
    of = np.concatenate([owner[line[owner]], owner[line[owner]], owner[~line[owner]]])
    broken = shapely.STRtree(shapes[~line & ~works])
    closed = np.zeros(len(tips), dtype=bool)
    closed[broken.query(tips, predicate="dwithin", distance=tolerance_m)[0]] = True
    open_ = works[of] & ~closed
    tip, near = shapely.STRtree(shapes).query(tips[open_], predicate="dwithin", distance=tolerance_m)
    mine = of[open_][tip]
    kept = works[near] & (mine != near)
    graph = csr_array((np.ones(int(kept.sum()), dtype=np.int8), (mine[kept], near[kept])), shape=(len(shapes), len(shapes)))
    _, part = connected_components(graph, directed=False)
    served = np.zeros(int(part.max()) + 1, dtype=bool)
    served[part[works & sources]] = True
    return np.asarray(served[part] & works)
