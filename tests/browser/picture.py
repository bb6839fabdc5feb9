"""Takes the picture of the page for the docs: `python -m tests.browser.picture docs/images/demo.png`."""

from __future__ import annotations

import sys
from pathlib import Path

from bearerguard.demo import Demo
from tests.browser.chromium import chromium
from tests.browser.desk import Desk


def take(path: Path) -> None:
    """The page in a usual window, after one token was used twice."""
    with Demo(port=0) as demo, chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 880}, reduced_motion="reduce")
        page.goto(demo.url)
        desk = Desk(page).when_ready()
        desk.tries("replay")
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        path.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=path)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
