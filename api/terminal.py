"""What all commands share: the language of the user, faults as one report, findings, progress, texts marked for translation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from geo.messages import LANGS, Lang, Message, gettext

if TYPE_CHECKING:
    from geo.errors import Finding, TarmimError
    from geo.harmonise import Layer
    from geo.run import Run
    from geo.study import Study


def language(arguments: Sequence[str]) -> Lang:
    """The language asked for on the command line, else by the environment, else English.

    >>> language(["rank", "homs", "--lang", "ar"])
    'ar'
    """
    asked = [after for before, after in zip(arguments, [*arguments[1:], ""], strict=True) if before == "--lang"]
    asked += [one.removeprefix("--lang=") for one in arguments if one.startswith("--lang=")]
    asked += [os.environ.get(name, "") for name in ("TARMIM_LANG", "LC_ALL", "LC_MESSAGES", "LANG")]
    for text in asked:
        for lang in LANGS:
            if text.lower().split("_")[0].split(".")[0] == lang:
                return lang
    return "en"


def without_language(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--lang`, which may stand anywhere; a language nobody knows stays and is refused."""
    left: list[str] = []
    rest = iter(arguments)
    for one in rest:
        value = one.removeprefix("--lang=") if one.startswith("--lang=") else next(rest, "") if one == "--lang" else None
        if value is None:
            left.append(one)
        elif value not in LANGS:
            left += ["--lang", value]
    return left


@contextmanager
def faults(lang: Lang) -> Iterator[None]:
    """One report and status 1 instead of a traceback, for everything a user can mend."""
    from geo.errors import TarmimError

    try:
        yield
    except TarmimError as error:
        tell(error, lang)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def tell(error: TarmimError, lang: Lang) -> None:
    for one in error.findings:
        typer.secho("✗ " + one.render(lang), err=True, fg=typer.colors.RED)


def tell_findings(findings: Sequence[Finding], lang: Lang, *, err: bool = True) -> None:
    signs = {"error": ("✗", typer.colors.RED), "warning": ("!", typer.colors.YELLOW), "info": ("·", None)}
    for one in findings:
        sign, colour = signs[one.severity]
        typer.secho(f"{sign} {one.render(lang)}", err=err, fg=colour)


@contextmanager
def progress(lang: Lang, total: int) -> Iterator[Callable[[Message], None]]:
    """A bar on a terminal, silence elsewhere; each step says its name when it begins."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)

        def step(text: Message) -> None:
            bar.update(task, advance=1, description=text.render(lang))

        yield step


@contextmanager
def amount(lang: Lang, text: Message) -> Iterator[Callable[[int, int | None], None]]:
    """A bar of bytes on a terminal, silence elsewhere; told how many are done, and of how many where that is known."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text.render(lang), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def N_(text: str) -> str:  # noqa: N802  # gettext's own name for "to be translated later"
    """Mark a text for the catalogues; `localised` puts it into the user's language."""
    return text


def localised(command: Any, lang: Lang) -> Any:
    """The command tree with every help text in a language."""
    for name in ("help", "short_help", "epilog"):
        text = getattr(command, name, None)
        if text:
            setattr(command, name, "\n\n".join(gettext(part, lang) for part in text.split("\n\n")))
    for option in getattr(command, "params", ()):
        if getattr(option, "help", None):
            option.help = gettext(option.help, lang)
    for one in getattr(command, "commands", {}).values():
        localised(one, lang)
    return command


def accepted(study: Study, url: str | None) -> Mapping[str, Layer]:
    """The accepted layers of a study; the store is loaded only where something was ever delivered."""
    if url is None and not (study.folder / "catalogue.sqlite").is_file():  # geo.catalogue.FILE, without loading a database for it
        return {}
    from geo import surveys

    return surveys.accepted(study, url)


def with_overrides(run: Run, study: Study, url: str | None) -> Run:
    """The run with the ranks that somebody decided, where the store of the study holds such decisions on it."""
    if url is None and not (study.folder / "catalogue.sqlite").is_file():
        return run
    from geo.overrides import decided
    from geo.store import Store

    with Store.open(study.folder, url) as store:
        return decided(run, store.overrides(run.id))


def database() -> str | None:
    """Address of the PostgreSQL catalogue, where the user has one: `TARMIM_DATABASE_URL`."""
    return os.environ.get("TARMIM_DATABASE_URL") or None
