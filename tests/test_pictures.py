"""The pictures of the docs: readable by all, in light and in dark, and as new as the figures that they show."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.site import plots
from tests.site.charts import Bar, Chart, Group
from tests.site.pages import ROOT

IMAGES = sorted((ROOT / "docs" / "images").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"

every_picture = pytest.mark.parametrize("picture", IMAGES, ids=lambda picture: picture.stem)


@pytest.mark.parametrize("file", plots.plots(), ids=lambda file: file.stem)
def test_shows_the_figures_of_its_page(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == plots.plots()[file], "renew it: python -m tests.site --plots"


@every_picture
def test_says_in_words_what_it_shows(picture: Path) -> None:
    drawing = ElementTree.parse(picture).getroot()
    said = {each.get("id"): each.text or "" for each in drawing if each.tag in (f"{SVG}title", f"{SVG}desc")}
    assert drawing.get("role") == "img"
    assert str(drawing.get("aria-labelledby")).split() == [*said] == ["title", "desc"]
    assert len(said["desc"]) > len(said["title"]) > 5


@every_picture
def test_can_be_read_in_light_and_dark(picture: Path) -> None:
    style = ElementTree.parse(picture).getroot().findtext(f"{SVG}style", "")
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    for half in (light, dark):
        assert re.search(r"\btext \{[^}]*fill:", half)
        assert re.search(r"\.ground \{[^}]*fill:", half)


@every_picture
def test_has_text_that_is_text_and_nothing_from_elsewhere(picture: Path) -> None:
    drawing = ElementTree.parse(picture).getroot()
    assert len(list(drawing.iter(f"{SVG}text"))) > 5
    written = picture.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|href=|<script|<image|@import|@font-face|\bon\w+=", written)


@every_picture
def test_keeps_its_bars_and_boxes_inside(picture: Path) -> None:
    drawing = ElementTree.parse(picture).getroot()
    width, height = (float(drawing.get(name, 0)) for name in ("width", "height"))
    for each in drawing.iter(f"{SVG}rect"):
        x, y, wide, high = (float(each.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + wide <= width
        assert 0 <= y <= y + high <= height


def test_draws_bars_on_one_scale() -> None:
    chart = Chart("A", "b", [Group("one", [Bar("x", 1, "1")]), Group("two", [Bar("y", 2, "2", limit=4)])])
    widths = [float(width) for width in re.findall(r'class="other"[^>]* width="([\d.]+)"', chart.to_svg())]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)


def test_shows_what_it_is_given_as_text() -> None:
    assert "<b>" not in Chart("<b>", "<b>", [Group("<b>", [Bar("<b>", 1, "<b>")])]).to_svg()
