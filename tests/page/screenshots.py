"""The pictures of the page in docs/: ``make screenshots`` makes them anew."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from handfast.lens.page.page import render
from tests.lens.page.stories import scenario, story_of
from tests.page.browser import Window, chromium
from tests.page.conftest import two
from tests.syntax import ROOT

DOCS = ROOT / "docs"
MOST = 150_000


def main() -> None:
    """Write them, each below 150 kB."""
    pages = {
        "full": render([story_of(scenario("mutual").client_side)]),
        "refused": render([story_of(scenario("certificate_required").client_side)]),
        "two": two(),
    }
    shots = (
        ("page-bytes", "full", "#1/1/ClientHello/cipher_suites.[0]", 1000, 560, "light"),
        ("page-refused", "refused", "", 1000, 720, "dark"),
        ("page-phone", "full", "#1/1/ClientHello/random", 400, 720, "light"),
    )
    with TemporaryDirectory() as folder, chromium() as browser:
        for name, html in pages.items():
            Path(folder, f"{name}.html").write_text(html, "utf-8")
        for name, page, link, width, height, scheme in shots:
            window = Window(browser, width=width, color_scheme=scheme)
            window.page.set_viewport_size({"width": width, "height": height})
            window.open(Path(folder, f"{page}.html").as_uri() + link)
            path = DOCS / f"{name}.png"
            window.page.screenshot(path=path)
            size = path.stat().st_size
            if size > MOST:
                raise SystemExit(f"{path} has {size} bytes, more than {MOST}")
            print(f"{path.relative_to(ROOT)}: {size} bytes")
            window.context.close()


if __name__ == "__main__":
    main()
