"""Pages of the docs that programs renew: what stands between two markers is theirs, the rest is not."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


class PageError(Exception):
    """The page is not as `write_section` needs it; nothing was written."""


def begin(marker: str) -> str:
    """The line that the section begins after."""
    return f"<!-- {marker}:begin -->"


def end(marker: str) -> str:
    """The line that the section ends before."""
    return f"<!-- {marker}:end -->"


def section_of(page: str, marker: str) -> str:
    """What stands between the two markers; PageError unless each is there once, in order."""
    return _parts(page, marker)[1]


def with_section(page: str, marker: str, section: str) -> str:
    """`page` with `section` between the two markers; PageError unless each is there once, in order."""
    before, _, after = _parts(page, marker)
    return f"{before}{begin(marker)}\n\n{section.strip()}\n\n{end(marker)}{after}"


def write_section(page: Path, marker: str, section: str) -> None:
    """Replace the section of `page`, whole or not at all."""
    if not page.is_file():
        raise PageError(f"there is no {page.name}; create it with the lines {begin(marker)} and {end(marker)}")
    text = with_section(page.read_text(encoding="utf-8"), marker, section)
    draft = page.with_name(f"{page.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(page)


def _parts(page: str, marker: str) -> tuple[str, str, str]:
    for line in (begin(marker), end(marker)):
        if page.count(line) != 1:
            raise PageError(f"{line} is there {page.count(line)} times; write it once")
    before, _, rest = page.partition(begin(marker))
    if end(marker) in before:
        raise PageError(f"{end(marker)} stands before {begin(marker)}; swap them")
    section, _, after = rest.partition(end(marker))
    return before, section, after
