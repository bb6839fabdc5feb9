"""The built site, looked through: every link leads to a page and an anchor, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}
_ELSEWHERE = re.compile(r"(?:@import\s+|url\()\s*[\"']?(?:https?:)?//", re.IGNORECASE)


@dataclass
class _Seen(HTMLParser):
    """What one page loads, where it leads, and which anchors it has."""

    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if name in said}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif _LOADING.get(tag) in said:
            self.loaded.append(said[_LOADING[tag]])


def complaints(site: Path) -> list[str]:
    """What is wrong with a built site, one sentence each."""
    return [*_of_pages(site), *_of_styles(site)]


def _of_pages(site: Path) -> Iterator[str]:
    for page in sorted(site.glob("**/*.html")):
        name, seen = page.relative_to(site), _seen(page)
        yield from (f"{name} loads {each} from elsewhere" for each in seen.loaded if not _is_ours(each))
        yield from (
            f"{name} leads to {each}, which is not there" for each in seen.links if _is_broken(site, page, each)
        )
        yield from (f"{name} loads {each}, which is not there" for each in seen.loaded if _is_broken(site, page, each))
        if "<!--" in _body(page):
            yield f"{name} has a comment in it"


def _of_styles(site: Path) -> Iterator[str]:
    for style in sorted(site.glob("**/*.css")):
        if _ELSEWHERE.search(style.read_text(encoding="utf-8")):
            yield f"{style.relative_to(site)} loads something from elsewhere"


@cache
def _seen(page: Path) -> _Seen:
    seen = _Seen()
    seen.feed(page.read_text(encoding="utf-8"))
    return seen


def _body(page: Path) -> str:
    """What Markdown has become."""
    return "".join(re.findall(r"<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL))


def _is_ours(address: str) -> bool:
    parts = urlsplit(address)
    return not parts.netloc and parts.scheme in ("", "data")


def _is_broken(site: Path, page: Path, address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file() or site.resolve() not in target.resolve().parents:
        return True
    anchor = unquote(parts.fragment)
    return bool(anchor) and target.suffix == ".html" and anchor not in _seen(target).anchors
