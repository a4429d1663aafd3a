"""A study: the area of work, one folder with `study.toml`, which names the city, its CRS in metres and its layers.

A layer's entry says where the file is, what its columns are called, when it was made, by whom, under which licence, and **what
it covers** (`extent`): an empty neighbourhood means "nothing there" only where the layer is known to have looked.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from geo import registers
from geo.errors import Finding, StudyError, TarmimError, finding, not_written
from geo.messages import Message, message

LayerName = Literal[
    "neighbourhoods", "buildings", "damage", "roads", "water", "sewerage", "electricity", "telecom",
    "facilities", "population", "complaints", "obstacles", "hazards", "works",
]  # fmt: skip
LAYERS = tuple(registers.register("layers"))
NETWORKS = ("water", "sewerage", "electricity", "telecom")


class Model(BaseModel):
    """Strict and frozen: an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class BothLanguages(Model):
    """A text in Arabic and English."""

    ar: str = Field(min_length=1, max_length=300)
    en: str = Field(min_length=1, max_length=300)


def _crs(text: str) -> str:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        CRS.from_user_input(text)
    except CRSError as error:
        raise PydanticCustomError("unknown_crs", "unknown CRS") from error
    return text


def _metric(text: str) -> str:
    from pyproj import CRS

    known = CRS.from_user_input(_crs(text))
    if not known.is_projected or known.axis_info[0].unit_conversion_factor != 1.0:
        raise PydanticCustomError("not_metric", "not in metres")
    return text


def _pcode(text: str) -> str:
    from geo.pcodes import level_of

    if not str(level_of(text)).startswith("adm"):
        raise PydanticCustomError("not_admin_code", "no admin P-code")
    return text


Crs = Annotated[str, AfterValidator(_crs)]
MetricCrs = Annotated[str, AfterValidator(_metric)]
AdminCode = Annotated[str, AfterValidator(_pcode)]
FilePath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]


class LayerSpec(Model):
    """One layer's entry in `study.toml`.

    `columns` maps our column to theirs and goes before the profile's; `grades` maps their grade to our state and goes before the
    profile's list. `axes` is "yx" where latitude stands before longitude. `where` selects rows by the values of their own columns.
    `extent` is "study" (it looked everywhere), a file of polygons (it looked there), or absent (not known where it looked).
    """

    path: FilePath
    profile: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    grades: dict[str, str] = Field(default_factory=dict)
    where: dict[str, list[str]] = Field(default_factory=dict)
    header: list[str] | None = None
    encoding: str | None = None
    crs: Crs | None = None
    axes: Literal["xy", "yx"] = "xy"
    extent: FilePath | None = None
    sublayer: str | None = None
    raster: Literal["count", "density_per_km2"] | None = None
    spread: Literal["buildings", "area"] = "area"
    date: datetime.date | None = None
    licence: str = ""
    source: BothLanguages | None = None


class Scenario(Model):
    """Another number of people than now: what would be ranked first if they lived so.

    `column` is another column of the population layer; `path` another file in its place (`columns`, `spread`, `raster` as in a
    layer's entry). `add` is a table of people who come in addition, by neighbourhood; `factors` multiply, by code of a
    neighbourhood or name of a district. The last two apply to whatever the first two give, `factors` before `add`.
    """

    name: BothLanguages
    column: str | None = None
    path: FilePath | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    spread: Literal["buildings", "area"] = "area"
    raster: Literal["count", "density_per_km2"] | None = None
    add: FilePath | None = None
    factors: dict[str, Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Scenario:
        if self.column is not None and self.path is not None:
            raise PydanticCustomError("both_given", "column or path")
        if self.column is None and self.path is None and self.add is None and not self.factors:
            raise PydanticCustomError("none_given", "nothing differs")
        return self


EvidenceKind = Literal["field", "drone", "satellite", "complaint", "unstated"]  # those of data/trust.toml


class Trust(Model):
    """How far a kind of evidence is trusted, in place of what `data/trust.toml` proposes."""

    trust: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    half_life_days: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class EvidenceRules(Model):
    """`[evidence]`: what of `data/trust.toml` is otherwise in this city; `match_m` in metres."""

    match_m: float | None = Field(default=None, gt=0, le=100, allow_inf_nan=False)
    kinds: dict[EvidenceKind, Trust] = Field(default_factory=dict)


class DependenciesSpec(Model):
    """`[dependencies]`: the table of what elements and facilities need of other networks (`geo.dependencies`)."""

    path: FilePath


def _not_now(name: str) -> str:
    if name == "now":
        raise PydanticCustomError("reserved", "the name of no scenario")
    return name


ScenarioName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$"), AfterValidator(_not_now)]


class Study(Model):
    """A city: names, working CRS in metres, scheme, layers, scenarios; `folder` is where its relative paths begin.

    `pcodes` are the admin P-codes that the study lies within; without them codes are not held against an area.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    name: BothLanguages
    crs: MetricCrs
    scheme: str = "default"
    generated: bool = False
    pcodes: tuple[AdminCode, ...] = ()
    layers: dict[LayerName, LayerSpec]
    scenarios: dict[ScenarioName, Scenario] = Field(default_factory=dict)
    evidence: EvidenceRules = Field(default_factory=EvidenceRules)
    dependencies: DependenciesSpec | None = None
    folder: Path = Field(exclude=True)

    def path(self, text: str) -> Path:
        """A path of `study.toml`, seen from its folder."""
        return (self.folder / text).resolve()


EXPECTED: Mapping[str, Message] = MappingProxyType(
    {
        "missing": message("This entry is needed."),
        "extra_forbidden": message("No entry of that name is known."),
        "literal_error": message("One of the known values is expected."),
        "string_pattern_mismatch": message("Lower-case Latin letters, digits and hyphens are expected."),
        "string_type": message("A text is expected."),
        "float_parsing": message("A number is expected."),
        "float_type": message("A number is expected."),
        "finite_number": message("A number is expected."),
        "greater_than": message("A larger number is expected."),
        "greater_than_equal": message("A number that is not below the limit is expected."),
        "less_than_equal": message("A number that is not above the limit is expected."),
        "date_from_datetime_parsing": message("A date such as 2026-03-29 is expected."),
        "too_short": message("At least one is expected."),
        "dict_type": message("A table of entries is expected."),
        "model_type": message("A table of entries is expected."),
        "unknown_crs": message("A known CRS is expected, such as EPSG:32637."),
        "not_metric": message("A known CRS in metres is expected, such as EPSG:32637."),
        "not_admin_code": message("An admin P-code such as SY04 or SY0204 is expected."),
        "tuple_type": message("A list is expected."),
        "reserved": message("Another name is expected: 'now' is how people live now."),
        "both_given": message("Either a column or a path is expected, not both."),
        "none_given": message("One of column, path, add and factors is expected."),
        "not_ordered": message("Three distances are expected: 0 < low ≤ best ≤ high ≤ 500 metres."),
    }
)


def findings_of(error: ValidationError, where: str) -> tuple[Finding, ...]:
    """Every fault of a configuration file, in our words; a list is not blamed for what is wrong inside it."""
    faults = error.errors(include_url=False)
    inside = {fault["loc"][:depth] for fault in faults for depth in range(1, len(fault["loc"]))}
    return tuple(
        finding(
            "configuration",
            "error",
            where,
            message("'{entry}' is {value}.", entry=".".join(str(part) for part in fault["loc"]), value=_shown(fault)),
            expected=EXPECTED.get(fault["type"], message("A value of another kind is expected.")),
            remedy=message("Mend the file and run `tarmim check` again."),
        )
        for fault in faults
        if fault["loc"] not in inside
    )


def _shown(fault: Mapping[str, Any]) -> Message:
    if fault["type"] == "missing":
        return message("not there")
    return message("'{value}'", value=str(fault["input"])[:80])


def read_toml(path: Path, kind: type[TarmimError]) -> dict[str, Any]:
    """A TOML file, or one finding that says why not and in which line."""
    remedy = message("Give the folder of a study, or make one with `tarmim init`.")
    if not path.is_file():
        raise kind(finding("missing-file", "error", path.name, message("There is no file {path}.", path=path), remedy=remedy))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin with a byte-order mark
    except UnicodeDecodeError as error:
        fault = message("The file is not UTF-8 (byte {byte}).", byte=error.start)
    except tomllib.TOMLDecodeError as error:
        fault = message("The file is not TOML: {fault}.", fault=str(error))
    raise kind(finding("not-toml", "error", path.name, fault, remedy=message("Mend that line and run `tarmim check` again.")))


def not_a_table(entry: str, value: object, where: str) -> Finding:
    """The fault of an entry that should be a table of entries."""
    return finding(
        "configuration",
        "error",
        where,
        message("'{entry}' is {value}.", entry=entry, value=message("'{value}'", value=str(value)[:80])),
        expected=EXPECTED["dict_type"],
    )


def read_study(folder: Path | str) -> Study:
    """The study of a folder (or of its `study.toml`).

    Raises
    ------
    StudyError
        With every fault of the file: unknown entries, missing ones, files that are not there, a CRS that is not in metres.
    """
    path = Path(folder)
    path = path if path.suffix == ".toml" else path / "study.toml"
    content = read_toml(path, StudyError)
    head = content.get("study", {})
    if not isinstance(head, dict):
        raise StudyError(not_a_table("study", head, path.name))
    try:
        study = Study(
            **{
                **head,
                "layers": content.get("layers", {}),
                "scenarios": content.get("scenarios", {}),
                "evidence": content.get("evidence", {}),
                "dependencies": content.get("dependencies"),
                "folder": path.parent.resolve(),
            }
        )
    except ValidationError as error:
        raise StudyError(*findings_of(error, path.name)) from None
    faults = [*_unknown_tables(content, path.name), *_missing_files(study), *_unknown_names(study)]
    if faults:
        raise StudyError(*faults)
    return study


def _unknown_tables(content: Mapping[str, Any], where: str) -> list[Finding]:
    known = ("study", "layers", "scenarios", "evidence", "dependencies")
    return [
        finding(
            "configuration",
            "error",
            where,
            message("'[{entry}]' is not known.", entry=name),
            expected=message("Known: {known}.", known=known),
        )
        for name in content
        if name not in known
    ]


def _missing_files(study: Study) -> list[Finding]:
    """Files that layers name and that are not there; `neighbourhoods` must be among the layers."""
    faults = []
    if "neighbourhoods" not in study.layers:
        faults.append(
            finding(
                "missing-layer",
                "error",
                "study.toml",
                message("There is no layer 'neighbourhoods'."),
                expected=message("Everything is counted and ranked by neighbourhood."),
                remedy=message("Add [layers.neighbourhoods] with the path of their boundaries."),
            )
        )
    files: list[tuple[str, tuple[str | None, ...]]] = [(name, (spec.path, spec.extent)) for name, spec in study.layers.items()]
    files += [(f"scenarios.{name}", (one.path, one.add)) for name, one in study.scenarios.items()]
    files += [] if study.dependencies is None else [("dependencies", (study.dependencies.path,))]
    for name, texts in files:
        for text in texts:
            if text in (None, "study") or study.path(str(text)).is_file():
                continue
            faults.append(
                finding(
                    "missing-file",
                    "error",
                    name,
                    message("There is no file {path}.", path=text),
                    expected=message("A path seen from the folder of study.toml."),
                    remedy=message("Correct the path, or take the layer out of study.toml."),
                )
            )
    return faults


def _unknown_names(study: Study) -> list[Finding]:
    """Profiles and columns that no register holds."""
    faults: list[Finding] = []
    for spec in study.layers.values():
        if spec.profile is not None:
            try:
                registers.lookup("sources", spec.profile)
            except TarmimError as error:
                faults += error.findings
    entries: list[tuple[str, str, Mapping[str, str]]] = [(name, name, spec.columns) for name, spec in study.layers.items()]
    entries += [("population", f"scenarios.{name}", one.columns) for name, one in study.scenarios.items()]
    for name, where, columns in entries:
        known = {row["column"] for row in registers.table("schema", name)} | {"lon", "lat", "x", "y", "wkt"}
        faults += [
            finding(
                "unknown-column",
                "error",
                where,
                message("'{column}' is no column of this layer.", column=column),
                expected=message("Known: {known}.", known=sorted(known)),
            )
            for column in columns
            if column not in known
        ]
        faults += unknown_states(spec.grades, name)
    return faults


def unknown_states(grades: Mapping[str, str], where: str) -> list[Finding]:
    """Damage states that no register holds, of grades that somebody explained."""
    states = list(registers.register("states"))
    return [
        finding(
            "unknown-name",
            "error",
            where,
            message("'{name}' is not known.", name=state),
            expected=message("Known: {known}.", known=states),
            remedy=message("Use one of the known names."),
        )
        for state in dict.fromkeys(grades.values())
        if state not in states
    ]


TEMPLATE = """# A Tarmim study. Paths are seen from this folder. See the README for every entry.
[study]
id = "{id}"
name = {{ ar = "{ar}", en = "{en}" }}
crs = "{crs}"            # working coordinate system, in metres
scheme = "default"
# pcodes = ["SY04"]        # the admin areas it lies within; P-codes elsewhere are refused

[layers.neighbourhoods]
path = "neighbourhoods.geojson"
# columns = {{ id = "their column", name_ar = "their column", name_en = "their column" }}
# date = 2026-01-01
# licence = ""
# source = {{ ar = "", en = "" }}

# [layers.damage]
# path = "damage.shp"
# profile = "unosat"       # how its grades map to damage states
# extent = "study"         # it looked everywhere; or a file of polygons: it looked there
"""


def begin_study(folder: Path, *, name_ar: str, name_en: str, crs: str) -> Path:
    """Write a `study.toml` to fill in; a folder that has one is left alone.

    Raises
    ------
    StudyError
        There is a study already, the names or the CRS can't be used, or the folder can't be written.
    """
    path = folder / "study.toml"
    if path.exists():
        remedy = message("Choose another folder.")
        raise StudyError(
            finding("study-exists", "error", str(folder), message("There is a study in this folder already."), remedy=remedy)
        )
    ident = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.resolve().name.lower()).strip("-")
    quoted = {"ar": _quoted(name_ar), "en": _quoted(name_en)}
    text = TEMPLATE.format(id=ident[:40] or "study", crs=_quoted(crs), **quoted)
    try:
        Study(**tomllib.loads(text)["study"], layers={}, folder=folder)
    except ValidationError as error:
        raise StudyError(*findings_of(error, "study.toml")) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(not_written(folder, error)) from None
    return path


def _quoted(text: str) -> str:
    """A text as it stands between the quotation marks of TOML."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "")


def copy_demo(folder: Path) -> None:
    """Copy the demo city that comes with the package into a folder; a newer copy replaces an older one, runs stay."""
    demo = files("data").joinpath("demo")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in demo.iterdir():
            if entry.is_file() and not entry.name.endswith(".py"):
                (folder / entry.name).write_bytes(entry.read_bytes())
    except OSError as error:
        raise StudyError(not_written(folder, error)) from None
