"""What can be measured of how a page looks: contrasts, widths, names."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

# Every piece of text that is shown, with the contrast to what is behind it.
_CONTRASTS = """() => {
  const numbers = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return numbers("rgb(255, 255, 255)");
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || ["SCRIPT", "NOSCRIPT", "OPTION"].includes(element.tagName)) continue;
    if (!element.checkVisibility({ opacityProperty: true })) continue;
    const style = getComputedStyle(element);
    if (numbers(style.color).a === 0) continue;
    const [one, other] = [light(numbers(style.color)), light(behind(element))].sort((x, y) => y - x);
    found.push({ text: text.slice(0, 40), contrast: (one + 0.05) / (other + 0.05) });
  }
  return found;
}"""


def contrasts(page: Page) -> list[dict[str, Any]]:
    """Every text that is shown, with its contrast."""
    found: list[dict[str, Any]] = page.evaluate(_CONTRASTS)
    return found


def width_needed(page: Page) -> int:
    """How wide the page is, of which the window may show less."""
    width: int = page.evaluate("() => document.documentElement.scrollWidth")
    return width


def parts_cut_off(page: Page) -> list[str]:
    """What reaches beyond the right edge of the window."""
    found: list[str] = page.evaluate(
        """() => [...document.body.querySelectorAll("*")]
          .filter((each) => each.checkVisibility() && each.getBoundingClientRect().right > innerWidth + 0.5)
          .map((each) => `${each.tagName} ${each.id} ${each.className}`)"""
    )
    return found


def nameless(page: Page) -> list[str]:
    """What can be used, and has no name that could be read out."""
    roles = {"button", "textbox", "combobox", "radio", "link", "checkbox", "img", "region", "DisclosureTriangle"}
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in nodes if not node.get("ignored") and node.get("role", {}).get("value") in roles]
    assert len(seen) > 20
    return [node["role"]["value"] for node in seen if not node.get("name", {}).get("value")]
