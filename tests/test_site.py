"""The docs as a site: what is staged for it, and what is found wrong with one that was built."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

from tests.site.looked_through import complaints
from tests.site.pages import HOME, ROOT, Page, all_pages, resolved, site_name, staged

PAGES = all_pages()
DOCS = {PurePosixPath(page.relative_to(ROOT).as_posix()) for page in (ROOT / "docs").glob("**/*.md")}

every_page = pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)


def test_has_every_page_of_the_docs() -> None:
    assert PAGES.keys() >= DOCS


def test_has_each_page_once_in_its_navigation() -> None:
    placed = [source for page in PAGES.values() for _, below in page.below for source in below]
    assert sorted(placed) == sorted({source for source in PAGES if source.suffix == ".md"} - {HOME})


@every_page
def test_shows_nothing_that_only_the_tests_run(page: Page) -> None:
    text = staged(page)
    assert page.source.suffix != ".md" or ("<!--" not in text and not re.search(r"\breader\.(?:asks|token)\b", text))


@every_page
def test_has_links_that_lead_to_what_is_staged(page: Page) -> None:
    there = {f"{each.name}.md" for each in PAGES.values()}
    prose = re.sub(r"^(```+).*?^\1$", "", staged(page), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!\w+:)([^)\s#]+)(?:#[^)\s]*)?\)", prose)
    found = {str(resolved(PurePosixPath(page.name), link)) for link in links if not link.endswith((".svg", ".png"))}
    assert found <= there


@pytest.mark.parametrize(
    ("source", "name"),
    [
        pytest.param("docs/errors.md", "errors", id="a page of the docs"),
        pytest.param("docs/platforms/jtl.md", "platforms/jtl", id="one in a folder"),
        pytest.param("examples/README.md", "examples/README", id="one from elsewhere"),
        pytest.param("examples/tour.py", "examples/tour.py", id="code, shown as a page"),
    ],
)
def test_gives_each_file_a_place(source: str, name: str) -> None:
    assert site_name(PurePosixPath(source)) == name


GOOD = '<article><h1 id="top">Hi</h1><a href="#top">up</a><a href="other.html#there">on</a></article>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "other.html").write_text('<article><h1 id="there">Hi</h1></article>')
    return tmp_path


def test_has_no_complaints_about_a_site_that_is_well(site: Path) -> None:
    assert complaints(site) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param('<a href="gone.html">', "leads to gone.html, which is not there", id="a page that is not there"),
        pytest.param('<a href="other.html#x">', "leads to other.html#x, which", id="an anchor that is not there"),
        pytest.param('<a href="../x.html">', "leads to ../x.html, which is not there", id="out of the site"),
        pytest.param('<img src="x.svg">', "loads x.svg, which is not there", id="a picture that is not there"),
        pytest.param('<script src="https://cdn.example.com/x.js">', "from elsewhere", id="a script from elsewhere"),
        pytest.param('<link href="//fonts.example.com/x.css">', "from elsewhere", id="a style from elsewhere"),
        pytest.param("<article><!-- x --></article>", "has a comment in it", id="a comment"),
    ],
)
def test_complains_about_a_page(site: Path, body: str, said: str) -> None:
    (site / "wrong.html").write_text(body)
    (complaint,) = complaints(site)
    assert complaint.startswith("wrong.html ")
    assert said in complaint


@pytest.mark.parametrize("rule", ['@import "https://x.example.com/a.css";', "a{src:url(//x.example.com/f.woff2)}"])
def test_complains_about_a_style_that_loads_from_elsewhere(site: Path, rule: str) -> None:
    (site / "site.css").write_text(rule)
    assert complaints(site) == ["site.css loads something from elsewhere"]
