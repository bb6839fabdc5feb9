"""One demo and one browser for all tests here, and a page of its own for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage

from bearerguard.demo import Demo
from tests.browser.chromium import chromium
from tests.browser.desk import Desk

Opened = Callable[..., Desk]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    with Demo(port=0) as demo:
        yield demo


@pytest.fixture
def opened(browser: Browser, demo: Demo) -> Iterator[Opened]:
    """Opens the page in a window; in the end no page may have had a fault, or asked anybody but the demo."""
    demo.world.start_over()
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # The browser says so of every 401 and 503 that the page has asked for.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            faults.append(message.text)

    def open_page(*, width: int = 1280, height: int = 860, address: str = demo.url, **how: Any) -> Desk:
        how = {"reduced_motion": "reduce", **how}
        context = browser.new_context(viewport={"width": width, "height": height}, **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", note)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("request", lambda asked: None if asked.url.startswith(demo.url) else faults.append(asked.url))
        page.goto(address)
        return Desk(page)

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def desk(opened: Opened) -> Desk:
    """The page in a window of usual size, once its first call is answered."""
    return opened().when_ready()
