"""The pages of the site: which files of the repository become one, where each stands, and where each leads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).resolve().parents[2]
HOME = PurePosixPath("docs/index.md")

_CODE = re.compile(r"^(?P<ticks>```+)[^\n]*\n.*?^(?P=ticks)$|<!--.*?-->\n*", re.MULTILINE | re.DOTALL)
_LANGUAGE = re.compile(r"^(```+\w+) .*")
_LINK = re.compile(r"(?P<before>\]\()(?!\w+:)(?P<path>[^)\s#]+)(?P<after>(?:#[^)\s]*)?\))")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_PICTURES = (".svg", ".png")


@dataclass
class Page:
    """One page of the site, made from one file of the repository."""

    source: PurePosixPath
    below: list[tuple[str, list[PurePosixPath]]] = field(default_factory=list)
    """The pages that it leads to first, by the headings under which it does: these are the site's navigation."""

    @property
    def name(self) -> str:
        """Where it stands on the site, without a suffix."""
        return site_name(self.source)

    @property
    def text(self) -> str:
        """What the file says."""
        return (ROOT / self.source).read_text(encoding="utf-8")


def site_name(source: PurePosixPath) -> str:
    """A page of the docs stands at the top of the site, everything else where the repository has it."""
    inside = source.relative_to("docs") if source.parts[0] == "docs" else source
    return str(inside.with_suffix("") if inside.suffix == ".md" else inside)


def all_pages() -> dict[PurePosixPath, Page]:
    """Every page that can be reached from the home page, in the order of the navigation."""
    found: dict[PurePosixPath, Page] = {}
    waiting = [HOME]
    while waiting:
        source = waiting.pop(0)
        if source in found:
            continue
        page = found[source] = Page(source)
        waiting += targets(page.source, page.text) if source.suffix == ".md" else []
    _give_places(found)
    return found


def targets(source: PurePosixPath, text: str) -> list[PurePosixPath]:
    """The files that a page links to, pictures left out."""
    paths = (match["path"] for part in outside_of_fences(text) for match in _LINK.finditer(part))
    return [path for path in (resolved(source, path) for path in paths) if path.suffix not in _PICTURES]


def resolved(source: PurePosixPath, path: str) -> PurePosixPath:
    """The file of the repository that a link means."""
    return PurePosixPath(normpath(source.parent / path))


def outside_of_fences(text: str) -> Iterator[str]:
    """The pieces of a text that are neither code nor comment."""
    yield from (piece for piece, is_code in _pieces(text) if not is_code)


def staged(page: Page) -> str:
    """What Sphinx is given of a page: no comments, links as the site has them, and its part of the navigation."""
    if page.source.suffix != ".md":
        return _listing(page)
    pieces = [_shown(piece) if is_code else _relinked(page, piece) for piece, is_code in _pieces(page.text)]
    return "".join(pieces).rstrip() + "\n" + _navigation(page)


def _shown(code: str) -> str:
    """Code as readers see it. In comments stands what only the tests run."""
    return "" if code.startswith("<!--") else _LANGUAGE.sub(r"\1", code)


def _relinked(page: Page, text: str) -> str:
    return _LINK.sub(lambda match: _moved(page, match), text)


def _moved(page: Page, match: re.Match[str]) -> str:
    target = resolved(page.source, match["path"])
    if target.suffix in _PICTURES:
        return match[0]
    here = relpath(f"/{site_name(target)}.md", f"/{PurePosixPath(page.name).parent}")
    return f"{match['before']}{here}{match['after']}"


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    end = 0
    for code in _CODE.finditer(text):
        yield text[end : code.start()], False
        yield code[0], True
        end = code.end()
    yield text[end:], False


def _listing(page: Page) -> str:
    language = {".py": "python", ".toml": "toml"}.get(page.source.suffix, "text")
    return f"---\norphan: true\n---\n\n# {page.source.name}\n\n````{language}\n{page.text.rstrip()}\n````\n"


# --- Navigation ------------------------------------------------------------------------------------------------------


def _give_places(pages: dict[PurePosixPath, Page]) -> None:
    """Each page has one place: below the first page that leads there and is a list of pages itself."""
    placed = {HOME}
    for page in pages.values():
        if page.source.name in ("index.md", "README.md") and page.source in placed:
            for title, body in _sections(page.text):
                new = [each for each in dict.fromkeys(targets(page.source, body)) if _is_free(each, placed)]
                placed.update(new)
                page.below += [(title, new)] if new else []


def _sections(text: str) -> list[tuple[str, str]]:
    """What stands before the first heading of the second order, and below each."""
    before, *pieces = _SECTION.split(text)
    return [("", before), *zip(pieces[::2], pieces[1::2], strict=True)]


def _is_free(source: PurePosixPath, placed: set[PurePosixPath]) -> bool:
    return source not in placed and source.suffix == ".md"


def _navigation(page: Page) -> str:
    trees = [_tree(page, title, below) for title, below in page.below]
    return "\n".join(["", *trees])


def _tree(page: Page, title: str, below: list[PurePosixPath]) -> str:
    names = [f"/{site_name(each)}" for each in below]
    caption = [f":caption: {title}"] if title and page.source == HOME else []
    return "\n".join(["```{toctree}", ":hidden:", *caption, "", *names, "```", ""])
