"""The list as PDF, A4: the same page that a browser gets, laid out for paper by WeasyPrint (the extra `pdf`).

Nothing is fetched: style sheets and fonts come out of the package, and any other address is refused.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from geo.errors import NotInstalledError, finding
from geo.messages import message
from maps.page import static

ASSETS = "http://assets.invalid/"  # a scheme that relative addresses can be joined to; RFC 2606: nobody answers there
PRINT = "list-print.css"
FONT = "font/woff2"
TYPES = {"css": "text/css", "woff2": FONT}


def list_pdf(page: str) -> bytes:
    """A page of `maps.page.list_page`, made with `assets_url=ASSETS`, as PDF.

    Raises
    ------
    NotInstalledError
        WeasyPrint, or the pango of the system that it needs, is not installed.
    """
    if find_spec("weasyprint") is None:
        raise NotInstalledError(_missing())
    try:
        import weasyprint
    except OSError as error:  # it loads pango when it is imported
        raise NotInstalledError(_missing()) from error
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    class Packaged(URLFetcher):  # type: ignore[misc]  # weasyprint has no types
        """Gives files of the package, and nothing else."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            name = url.partition("?")[0].removeprefix(ASSETS)
            kind = TYPES.get(name.rpartition(".")[2])
            if kind is None or not url.startswith(ASSETS) or ".." in name:
                raise ValueError(f"not an asset: {url[:80]}")
            content = static(name) if kind == FONT else b""  # the sheets of the screen mean nothing on paper
            return URLFetcherResponse(url, content, {"Content-Type": kind})

    fetcher, fonts = Packaged(), FontConfiguration()
    sheet = weasyprint.CSS(string=static(PRINT).decode(), url_fetcher=fetcher, base_url=ASSETS, font_config=fonts)
    document = weasyprint.HTML(string=page, url_fetcher=fetcher, base_url=ASSETS)
    made: bytes = document.write_pdf(stylesheets=[sheet], font_config=fonts)
    return made


def _missing() -> Any:
    return finding(
        "no-pdf",
        "error",
        "format",
        message("PDFs can't be made here: WeasyPrint is not installed."),
        remedy=message(
            "Install the extra `pdf` and Debian's libpango-1.0-0 and libpangoft2-1.0-0, or print the page from a browser."
        ),
    )
