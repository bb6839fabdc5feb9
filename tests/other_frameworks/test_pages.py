"""The pages on other frameworks say what is true: their code runs, as that of all other pages does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

import bearerguard.wsgi
from tests.doors import Answer, Ask, ask_wsgi, bearer
from tests.other_frameworks.asking import ask_any
from tests.test_docs import (
    NAMED_ELSEWHERE,
    OF_FRAMEWORKS,
    PAGES,
    Reader,
    find,
    log_as_it_was,
    name_of,
    names_in,
    run,
    surroundings,
)

__all__ = ["log_as_it_was", "surroundings"]


class Traveller(Reader):
    """A reader who knows how applications of all frameworks are asked."""

    def asks(self, app: Any, request: str, token: str | None = None, **headers: str) -> Answer:
        method, _, target = request.partition(" ")
        ask = Ask(target, [*headers.items(), *([] if token is None else [bearer(token)])], method)
        return (ask_wsgi if isinstance(app, bearerguard.wsgi.BearerMiddleware) else ask_any)(app, ask)


@pytest.fixture
def django_as_it_was() -> Iterator[None]:
    """A page configures Django, and other tests must not feel it."""
    with override_settings():
        yield


@pytest.mark.parametrize("page", OF_FRAMEWORKS, ids=name_of)
@pytest.mark.usefixtures("surroundings", "django_as_it_was")
def test_runs_the_code_of_every_page(page: Path) -> None:
    run(page, Traveller())


def test_there_is_a_page_for_each_framework() -> None:
    assert [page.stem for page in OF_FRAMEWORKS] == ["django", "litestar", "quart"]


def test_names_only_what_there_is() -> None:
    named = {dotted for page in PAGES for dotted in names_in(page) if dotted.startswith(NAMED_ELSEWHERE)}
    assert named >= {"bearerguard.django", "bearerguard.django.RefusalMiddleware"}
    for dotted in named:
        find(dotted)
