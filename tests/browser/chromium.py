"""A real Chromium: which one, and how it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

VARIABLE = "BEARERGUARD_TEST_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
NONE_FOUND = (
    f"these tests need a Chromium: install one (`apt-get install chromium`, `playwright install chromium`), or set "
    f"{VARIABLE} to the path of one"
)
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def path_of_chromium(playwright: Playwright) -> str:
    """The Chromium that the environment names, or that this machine has, or that Playwright brought along."""
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"{VARIABLE} is {named!r}, and no program is there; {NONE_FOUND}")
        return named
    found = [path for name in NAMES if (path := shutil.which(name))]
    brought: str = playwright.chromium.executable_path
    for path in (*found, *PLACES, brought):
        if Path(path).is_file():
            return path
    raise FileNotFoundError(NONE_FOUND)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of one's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path_of_chromium(playwright), args=[*ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()
