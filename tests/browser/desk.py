"""The page, by what a visitor sees and presses."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Locator, Page, expect


class Desk:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def when_ready(self) -> Desk:
        """The same, once the page has made its first call."""
        expect(self.ruling).to_be_visible()
        return self

    @property
    def ruling(self) -> Locator:
        """The verdict in one sentence."""
        return self.page.locator("#verdict-said .ruling")

    @property
    def history(self) -> Locator:
        """The calls so far, the newest first."""
        return self.page.locator("#history button")

    def takes(self, kind: str) -> None:
        """Choose a sort of token by its label, and wait until there is one."""
        before = self.token
        self.page.get_by_role("radio", name=kind, exact=True).check()
        expect(self.page.locator("#token")).not_to_have_value(before)

    @property
    def token(self) -> str:
        """The token on the desk."""
        token: str = self.page.locator("#token").input_value()
        return token

    def calls(self, route: str, door: str = "ASGI") -> str:
        """Call a route at a door; the badge that the call gets in the history."""
        self.page.get_by_role("combobox", name="Route", exact=True).select_option(route)
        self.page.get_by_role("radio", name=door, exact=True).check()
        return self.presses("Call")

    def presses(self, button: str) -> str:
        """Press a button that makes a call; the badge of that call."""
        number = self.history.first.locator(".number").inner_text()
        self.page.get_by_role("button", name=button, exact=True).click()
        expect(self.history.first.locator(".number")).to_have_text(str(int(number) + 1))
        badge: str = self.history.first.locator(".badge").inner_text()
        return badge

    def tries(self, name: str) -> list[str]:
        """Do an experiment; the badges of its calls."""
        self.page.locator(f"#try-{name}").click()
        badges = self.page.locator(f"#outcome-{name} .badge")
        expect(badges.first).to_be_visible()
        expect(self.page.locator("#verdict")).to_have_attribute("aria-busy", "false")
        texts: list[str] = badges.all_inner_texts()
        return texts

    def opens_claims(self) -> dict[str, Any]:
        """Open the fold with the claims; what they are."""
        self.page.locator("#claims-part").evaluate("each => { each.open = true }")
        claims: dict[str, Any] = json.loads(self.page.get_by_label("Claims, as JSON").input_value())
        return claims

    def mints(self, **changes: Any) -> None:
        """Write other claims, and mint a token with them."""
        before = self.token
        self.page.get_by_label("Claims, as JSON").fill(json.dumps({**self.opens_claims(), **changes}))
        self.page.get_by_role("button", name="Mint with these claims").click()
        expect(self.page.locator("#token")).not_to_have_value(before)
