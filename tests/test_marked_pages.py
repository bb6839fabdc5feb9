"""The pages whose figures programs renew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import replica, report, sizes
from tests.marked_pages import PageError, begin, end, section_of, with_section, write_section
from tests.soak import report as soak

BEGIN, END = begin("bench"), end("bench")


def test_the_section_is_replaced_and_the_rest_stays() -> None:
    page = f"# Top\n\n{BEGIN}\nold\n{END}\n\nBottom\n"
    once = with_section(page, "bench", "new\n")
    assert once == f"# Top\n\n{BEGIN}\n\nnew\n\n{END}\n\nBottom\n"
    assert with_section(once, "bench", "new") == once
    assert section_of(once, "bench") == "\n\nnew\n\n"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("# Top\n", id="no markers"),
        pytest.param(f"{BEGIN}\n", id="no end"),
        pytest.param(f"{END}\n{BEGIN}\n", id="swapped"),
        pytest.param(f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", id="twice"),
        pytest.param(f"{begin('sizes')}\n{end('sizes')}\n", id="another's"),
    ],
)
def test_a_page_with_doubtful_markers_is_left_alone(page: str, tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(page, encoding="utf-8")
    with pytest.raises(PageError):
        write_section(file, "bench", "new")
    assert file.read_text(encoding="utf-8") == page


def test_a_missing_page_is_said(tmp_path: Path) -> None:
    with pytest.raises(PageError):
        write_section(tmp_path / "performance.md", "bench", "new")


@pytest.mark.parametrize(
    ("page", "marker"),
    [
        (report.PAGE, report.MARKER),
        (report.PAGE, f"{report.MARKER}-3.13"),
        (sizes.PAGE, sizes.MARKER),
        (replica.PAGE, replica.MARKER),
        (soak.PAGE, soak.MARKER),
    ],
    ids=lambda value: value if isinstance(value, str) else value.stem,
)
def test_each_page_has_a_place_for_its_figures(page: Path, marker: str) -> None:
    assert "|" in section_of(page.read_text(encoding="utf-8"), marker)
