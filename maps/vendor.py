"""Other people's files that the pages need, fetched once from npm and kept in the package with their licences.

`vendor.toml` beside the files is the record: name, version, licence and SHA-256 of each. `python -m maps.vendor` fetches again
what the record names and refuses any file whose checksum differs; `--accept` writes the checksums of a version that was just
raised in the record. A page never asks another host: what it needs is here.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from geo.errors import TarmimError, finding
from geo.messages import message

RECORD = "vendor.toml"
HERE = Path(__file__).parent / "static" / "vendor"


class VendorError(TarmimError):
    """A vendored file is missing, or is not the one the record names."""


def record(folder: Path = HERE) -> dict[str, Any]:
    """The packages and files of a vendor folder, as its record names them."""
    return tomllib.loads((folder / RECORD).read_text(encoding="utf-8"))


def checksum(content: bytes) -> str:
    """SHA-256 in hexadecimal.

    >>> checksum(b"")[:12]
    'e3b0c44298fc'
    """
    return hashlib.sha256(content).hexdigest()


def differing(folder: Path = HERE) -> list[str]:
    """Files that are missing or differ from the record, or that the record does not name; empty when all is well."""
    named = {file["to"]: file["sha256"] for package in record(folder)["package"] for file in package["file"]}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {RECORD}
    wrong = {name for name in named if name not in there or checksum((folder / name).read_bytes()) != named[name]}
    return sorted(wrong | (there - named.keys()))


def fetch(folder: Path = HERE, *, accept: bool = False) -> None:
    """Fetch every package of the record through npm and put its files in place.

    Parameters
    ----------
    folder
        Holds `vendor.toml`; the files go beneath it.
    accept
        Write the checksums found into the record instead of comparing with it.

    Raises
    ------
    VendorError
        A fetched file has another checksum than the record.
    """
    known = record(folder)
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError(finding("no-npm", "error", RECORD, message("The command npm is not installed.")))
    for package in known["package"]:
        with TemporaryDirectory() as scratch:
            wanted = f"{package['name']}@{package['version']}"
            subprocess.run([npm, "pack", wanted, "--silent", "--pack-destination", scratch], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
            _place(next(Path(scratch).glob("*.tgz")), package["file"], folder, accept=accept)
    if accept:
        (folder / RECORD).write_text(written(known), encoding="utf-8")


def _place(archive: Path, wanted: list[dict[str, str]], folder: Path, *, accept: bool) -> None:
    with tarfile.open(archive) as packed:
        for file in wanted:
            member = packed.extractfile(f"package/{file['from']}")
            content = b"" if member is None else member.read()
            if accept:
                file["sha256"] = checksum(content)
            elif checksum(content) != file["sha256"]:
                raise VendorError(
                    finding(
                        "vendor-checksum",
                        "error",
                        RECORD,
                        message("'{name}' is not the file that the record names.", name=file["to"]),
                    )
                )
            target = folder / file["to"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def written(known: dict[str, Any]) -> str:
    """The record as TOML."""
    lines = ["# Fetched by `python -m maps.vendor`; raise a version here and run it with --accept.\n"]
    for package in known["package"]:
        lines += ["\n[[package]]\n"]
        lines += [f'{key} = "{package[key]}"\n' for key in ("name", "version", "licence")]
        for file in package["file"]:
            lines += ["\n[[package.file]]\n", *(f'{key} = "{file[key]}"\n' for key in ("from", "to", "sha256"))]
    return "".join(lines)


def main() -> None:
    """`python -m maps.vendor [FOLDER] [--accept]`."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("folder", nargs="?", type=Path, default=HERE)
    command.add_argument("--accept", action="store_true")
    chosen = command.parse_args()
    fetch(chosen.folder, accept=chosen.accept)
    wrong = differing(chosen.folder)
    sys.stdout.write("\n".join(wrong) + "\n" if wrong else "all files are as the record names them\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
