"""The plots of the docs, made from the tables that stand in their pages: who renews the tables renews the plots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.marked_pages import section_of

from .charts import Bar, Chart, Group, Tone
from .pages import ROOT

IMAGES = ROOT / "docs" / "images"
PERFORMANCE = ROOT / "docs" / "performance.md"
RELIABILITY = ROOT / "docs" / "reliability.md"

Row = Mapping[str, str]

_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)
_SLOWEST = re.compile(r"([\d,]+) ms, of ([\d,]+) \(p50 (\d+)\)")
_TONES: Mapping[str, Tone] = {"bearerguard": "ours", "floor": "yardstick"}


def plots() -> dict[Path, str]:
    """Every plot, by its file."""
    performance, reliability = PERFORMANCE.read_text(encoding="utf-8"), RELIABILITY.read_text(encoding="utf-8")
    charts = {
        "first-sight": first_sight(performance),
        "repeat": repeat(performance),
        "other-apps": other_apps(performance),
        "in-flight": in_flight(performance),
        "requests": requests(performance),
        "growth": growth(performance),
        "soak": soak(reliability),
        "replica": replica(reliability),
    }
    return {IMAGES / f"{name}.svg": chart.to_svg() for name, chart in charts.items()}


def renew() -> None:
    """Write them all."""
    for file, text in plots().items():
        file.write_text(text, encoding="utf-8")


# --- Performance -----------------------------------------------------------------------------------------------------


def first_sight(page: str) -> Chart:
    """What a token costs that was never seen before."""
    groups = list(_compared(page, ("ASGI, first sight", "WSGI, first sight"), "overhead, x floor's"))
    note = "Overhead over the bare app, as a multiple of the floor's; less is better"
    return Chart("A token that is seen for the first time", note, groups)


def repeat(page: str) -> Chart:
    """What it costs from then on."""
    sections = ("ASGI, repeat", "ASGI, in-process hit", "WSGI, repeat", "WSGI, in-process hit")
    groups = list(_compared(page, sections, "total, x bare"))
    return Chart(
        "A token that was seen before", "The whole request, as a multiple of the bare app's; 1 is best", groups
    )


def other_apps(page: str) -> Chart:
    """What both cost where the app, the tokens or the denylist are others."""
    doors = ("FastAPI", "Shopify session token", "Flask with Redis")
    sections = [f"{door}, {sight}" for door in doors for sight in ("first sight", "repeat")]
    groups = list(_compared(page, sections, "total, x bare", with_sight=True))
    return Chart("Other apps, other tokens", "The whole request, as a multiple of the bare app's; 1 is best", groups)


def in_flight(page: str) -> Chart:
    """What many checks cost that ask Redis at the same time."""
    groups = [
        Group(title.rpartition(", ")[2], [_in_flight_bar(row) for row in _rows(text, ("name",))])
        for title, text in _sections(page).items()
        if "in flight" in title
    ]
    return Chart("50 checks that ask Redis at once", "Milliseconds for all of them; less is better", groups)


def _in_flight_bar(row: Row) -> Bar:
    took = row["time for all"]
    return Bar(row["name"], _number(took.removesuffix(" ms")), took, _tone(row["name"]))


def requests(page: str) -> Chart:
    """How many requests a server still answers."""
    groups = [
        Group(f"{title}: {sight}", [_requests_bar(row) for row in rows if row["sight"] == sight])
        for title, text in _sections(page).items()
        if title.startswith(("uvicorn", "gunicorn"))
        for rows in [_rows(text, ("algorithm", "sight", "name"))]
        for sight in dict.fromkeys(row["sight"] for row in rows)
    ]
    return Chart("Requests a second", "Of HS256 tokens; more is better", groups)


def _requests_bar(row: Row) -> Bar:
    return Bar(row["name"], _number(row["requests/s"]), f"{row['requests/s']}/s", _tone(row["name"]))


def growth(page: str) -> Chart:
    """How much more a check costs at its worst size than at the smallest."""
    rows = _rows(_sections(page)["Does it grow?"], ())
    figure = "slowest, x the first"
    bars = [Bar(row["a check"], _number(row[figure]), row[figure], "ours", _number(row["may be"])) for row in rows]
    note = "The slowest size, as a multiple of the smallest; the mark is what is allowed"
    return Chart("What grows", note, [Group("Time per check", bars)])


def _compared(page: str, sections: Iterable[str], figure: str, *, with_sight: bool = False) -> Iterator[Group]:
    """One group for each door and algorithm; what they are held against, the bare app, is in none."""
    for title in sections:
        rows = _rows(_sections(page)[title], ("algorithm", "name"))
        for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
            chosen = [row for row in rows if row["algorithm"] == algorithm and row["name"] != "bare app"]
            bars = [_compared_bar(row["name"], row[figure]) for row in chosen]
            yield Group(f"{title if with_sight else title.partition(',')[0]}, {algorithm}", bars)


def _compared_bar(name: str, figure: str) -> Bar:
    return Bar(name.removesuffix(", cache on"), _number(figure), figure, _tone(name))


def _tone(name: str) -> Tone:
    return "yardstick" if name == "bare app" else _TONES.get(name.partition(",")[0], "other")


# --- Reliability -----------------------------------------------------------------------------------------------------


def soak(page: str) -> Chart:
    """The slowest answers through all faults, and what is allowed."""
    slowest = {what: said for what, said in _facts(page, "soak").items() if what.startswith("slowest, ")}
    bars = [_slowest_of(what.removeprefix("slowest, "), said) for what, said in slowest.items()]
    note = "Milliseconds of the slowest answer through all faults; the mark is what is allowed"
    return Chart("The soak", note, [Group("Slowest answer, and in how many milliseconds half of them came", bars)])


def _slowest_of(what: str, said: str) -> Bar:
    found = _SLOWEST.fullmatch(said)
    assert found is not None, said
    most, bound = _number(found[1]), _number(found[2])
    return Bar(what, most, f"{found[1]} ms, half in {found[3]}", "ours", bound)


def replica(page: str) -> Chart:
    """How soon a revocation is known everywhere."""
    facts = _facts(page, "replica")
    (told,) = (said for what, said in facts.items() if what.startswith("from the confirmed revocation"))
    figures = re.findall(r"(p50|p99|most) ([\d.]+) ms", told)
    words = {"p50": "half of them", "p99": "99 of 100", "most": "the slowest"}
    bars = [Bar(words[name], float(value), f"{value} ms", "ours") for name, value in figures]
    note = "Milliseconds from the confirmed revocation to the refusal in another process; 1,000 are allowed"
    return Chart("A revocation reaches the replicas", note, [Group("1,200 revocations", bars)])


# --- Tables ----------------------------------------------------------------------------------------------------------


def _sections(page: str) -> dict[str, str]:
    """What stands below each heading of the third order."""
    pieces = _HEADING.split(page)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _rows(text: str, unnamed: Sequence[str]) -> list[Row]:
    """The first table of a text; its columns without a heading are called `unnamed`, in order."""
    lines = [_cells(line) for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)]
    names = [*unnamed, *(cell for cell in lines[0] if cell)]
    return [dict(zip(names, line, strict=True)) for line in lines[2:]]


def _facts(page: str, marker: str) -> Row:
    """The table between two markers, by its first column."""
    return {row["what"]: row["figure"] for row in _rows(section_of(page, marker), ())}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _number(text: str) -> float:
    return float(text.replace(",", ""))
