"""The page of the demo in a real Chromium: what it shows, does, and can be used with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, expect

from bearerguard.demo import Demo
from tests.browser.desk import Desk
from tests.browser.looks import contrasts, nameless, parts_cut_off, width_needed

Opened = Callable[..., Desk]

LABELS = ("Whatalo", "Shopify", "JTL", "OAuth JWT", "Opaque")

OUTCOMES: Sequence[tuple[str, Sequence[str]]] = (
    ("expire", ["200 accepted", "401 expired"]),
    ("forge", ["401 bad_signature"]),
    ("borrow", ["401 wrong_audience"]),
    ("scope", ["403 insufficient_scope"]),
    ("replay", ["200 accepted", "401 replayed"]),
    ("revoke-token", ["200 accepted", "401 revoked"]),
    ("revoke-shop", ["200 accepted", "401 revoked", "401 revoked"]),
    ("store", ["200 accepted", "503 store_unavailable"]),
    ("provider", ["200 accepted", "503 provider_unavailable"]),
)


# --- What one sees and tries ------------------------------------------------------------------------------------------


def test_begins_with_a_token_a_route_and_a_verdict(desk: Desk) -> None:
    expect(desk.page).to_have_title("bearerguard demo")
    assert desk.token.count(".") == 2
    expect(desk.page.get_by_role("combobox", name="Route", exact=True)).to_have_value("orders")
    expect(desk.page.get_by_role("button", name="Call", exact=True)).to_be_in_viewport()
    expect(desk.ruling).to_be_in_viewport()
    expect(desk.ruling).to_contain_text("200Accepted")
    expect(desk.ruling).to_contain_text("A good Whatalo token of str_8k2m4n6p. The app says: three orders.")
    expect(desk.page.locator("#route-code")).to_contain_text('@requires_scope("read:orders")')


@pytest.mark.parametrize(("name", "outcome"), OUTCOMES, ids=[name for name, _ in OUTCOMES])
def test_does_every_experiment(desk: Desk, name: str, outcome: Sequence[str]) -> None:
    assert desk.tries(name) == outcome
    expect(desk.ruling).to_contain_text(outcome[-1].split()[0])
    expect(desk.page.locator(".advice")).to_contain_text("What to do:")


@pytest.mark.parametrize("label", LABELS)
def test_does_every_experiment_with_every_token(desk: Desk, label: str) -> None:
    if label != "Whatalo":
        desk.takes(label)
    opaque = {"expire": ["200 accepted", "401 inactive"], "forge": ["401 inactive"]} if label == "Opaque" else {}
    for name, outcome in OUTCOMES:
        assert desk.tries(name) == opaque.get(name, outcome)


def test_there_are_no_more_experiments(desk: Desk) -> None:
    assert desk.page.locator("#experiments li").count() == len(OUTCOMES)


@pytest.mark.parametrize(("name", "chip"), [("store", "stopped"), ("provider", "refuses")])
def test_watches_what_was_stopped_come_back(desk: Desk, name: str, chip: str) -> None:
    desk.tries(name)
    expect(desk.page.get_by_role("radio", name=chip, exact=True)).to_be_checked()
    expect(desk.page.locator("#ailing")).not_to_be_empty()
    expect(desk.page.locator(f"#try-{name}")).to_have_text("Start it")
    desk.page.locator(f"#try-{name}").click()
    expect(desk.page.locator(f"#outcome-{name}")).to_contain_text(re.compile(r"^200 accepted"))
    expect(desk.page.locator("#ailing")).to_be_empty()


@pytest.mark.parametrize("label", LABELS)
def test_calls_with_every_token_at_both_doors(desk: Desk, label: str) -> None:
    if label != "Whatalo":
        desk.takes(label)
    assert [desk.calls("me", door) for door in ("ASGI", "WSGI")] == ["200 accepted"] * 2
    expect(desk.ruling).to_contain_text(f"A good {label} token of ")


def test_calls_without_a_token(desk: Desk) -> None:
    desk.page.get_by_role("radio", name="None", exact=True).check()
    expect(desk.page.locator("#token-part")).to_be_hidden()
    assert desk.calls("me", "WSGI") == "401 missing_token"
    expect(desk.page.locator(".challenge")).to_contain_text('WWW-Authenticate: Bearer realm="demo"')
    assert desk.calls("health") == "200 accepted"


def test_mints_with_other_claims(desk: Desk) -> None:
    desk.mints(sub="str_other", storeId="str_other")
    expect(desk.page.locator("#token-facts")).to_contain_text("for str_other")
    assert desk.calls("me") == "200 accepted"
    expect(desk.ruling).to_contain_text("str_other")
    desk.page.get_by_role("radio", name="a stranger").check()
    desk.mints(sub="str_third", storeId="str_third")
    assert desk.calls("me") == "401 bad_signature"


def test_says_what_is_wrong_with_claims(desk: Desk) -> None:
    desk.opens_claims()
    token = desk.token
    for written, said in (("{", "no JSON yet"), ("[]", "claims is no JSON object")):
        desk.page.get_by_label("Claims, as JSON").fill(written)
        desk.page.get_by_role("button", name="Mint with these claims").click()
        expect(desk.page.get_by_role("alert").filter(has_text=said)).to_be_visible()
    assert desk.token == token


def test_sends_the_token_as_it_was_changed_by_hand(desk: Desk) -> None:
    token = desk.page.get_by_label("The token, as it is sent")
    token.fill(desk.token[:-6] + "AAAAAA")
    assert desk.calls("me") == "401 bad_signature"
    token.fill("undefined")
    expect(desk.page.locator("#token-facts")).to_have_text("says nothing of itself")
    assert desk.calls("me") == "401 inactive"
    token.fill("two words")
    assert desk.calls("me") == "400 malformed_credentials"
    token.fill("\N{SNOWMAN}")
    desk.page.get_by_role("button", name="Call", exact=True).click()
    expect(desk.page.get_by_role("alert").filter(has_text="cannot send such a token")).to_be_visible()


def test_shows_request_answer_claims_and_events(desk: Desk) -> None:
    said = desk.page.locator("#verdict-more")
    expect(said.locator(".names")).to_contain_text("whatalo.session")
    for title in ("Request", "Answer", "Events"):
        said.locator("summary").filter(has_text=title).click()
    expect(said).to_contain_text(f"Authorization: Bearer {desk.token}")
    expect(said).to_contain_text(f"curl -i -H 'Authorization: Bearer {desk.token}' {desk.page.url}asgi/orders")
    expect(said).to_contain_text("HTTP/1.1 200 OK")
    expect(said).to_contain_text('TokenAccepted kind="whatalo.session" tenant="str_8k2m4n6p" seen_before=false')
    expect(desk.page.locator(".timing")).to_have_text(
        re.compile(r"verdict after [\d.]+ ms · first sight · answer after \d+ ms · ASGI door")
    )
    desk.presses("Call")
    expect(said).to_contain_text("seen_before=true")


def test_copies_the_call_for_the_command_line(opened: Opened) -> None:
    desk = opened(permissions=["clipboard-read", "clipboard-write"]).when_ready()
    desk.page.get_by_role("button", name="Copy as curl").click()
    expect(desk.page.locator("#curl-said")).to_have_text("Copied.")
    copied = desk.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == f"curl -i -H 'Authorization: Bearer {desk.token}' {desk.page.url}asgi/orders"


def test_keeps_a_history_that_can_be_looked_at_again(desk: Desk) -> None:
    desk.tries("replay")
    assert desk.history.locator(".badge").all_inner_texts() == ["401 replayed", "200 accepted", "200 accepted"]
    expect(desk.history.first).to_have_attribute("aria-pressed", "true")
    desk.history.last.click()
    expect(desk.ruling).to_contain_text("three orders")
    expect(desk.history.last).to_have_attribute("aria-pressed", "true")
    expect(desk.history.first).to_have_attribute("aria-pressed", "false")


def test_lets_a_minute_pass_and_starts_over(desk: Desk) -> None:
    desk.takes("Shopify")
    desk.page.get_by_role("button", name="Let a minute pass").click()
    expect(desk.page.locator("#clock")).to_contain_text("(+1:00)")
    expect(desk.page.locator("#token-facts")).to_contain_text("ended")
    desk.page.get_by_role("button", name="Start over").click()
    expect(desk.page.locator("#clock")).not_to_contain_text("+")
    expect(desk.history).to_have_count(1)
    expect(desk.ruling).to_contain_text("A good Whatalo token")


def test_waits_for_a_provider_that_hangs_and_says_so(desk: Desk) -> None:
    desk.takes("Opaque")
    assert desk.calls("me") == "200 accepted"
    desk.page.get_by_role("radio", name="hangs").check()
    expect(desk.page.locator("#ailing")).to_contain_text("The provider hangs.")
    desk.page.get_by_role("button", name="Fresh token").click()
    desk.page.get_by_role("button", name="Call", exact=True).click()
    expect(desk.page.locator("#verdict")).to_have_attribute("aria-busy", "true")
    expect(desk.ruling).to_contain_text("503")
    desk.page.get_by_role("button", name="Let everybody answer").click()
    expect(desk.page.get_by_role("button", name="Call", exact=True)).to_be_focused()
    assert desk.presses("Call") == "200 accepted"


def test_says_when_the_demo_is_gone(browser: Browser) -> None:
    with Demo(port=0) as demo:
        page = browser.new_page()
        page.goto(demo.url)
        desk = Desk(page).when_ready()
    desk.page.get_by_role("button", name="Call", exact=True).click()
    expect(desk.page.get_by_role("alert").filter(has_text="The demo does not answer.")).to_be_visible()
    page.close()


# --- What others write into it ----------------------------------------------------------------------------------------

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202e\u0000\r\nX-Evil: 1'


def test_shows_hostile_claims_as_text(desk: Desk) -> None:
    scripts = desk.page.locator("script").count()
    images = desk.page.locator("img").count()
    desk.mints(sub=HOSTILE, storeId=HOSTILE, scopes=[HOSTILE], extra={HOSTILE: HOSTILE})
    assert desk.calls("me") == "200 accepted"
    for title in ("Request", "Answer", "Events"):
        desk.page.locator("#verdict-more summary").filter(has_text=title).click()
    shown = desk.page.locator("body").inner_text()
    assert '<img src=x onerror="alert(1)">' in shown
    assert "\\u202e" in shown
    assert "\u202e" not in shown
    assert (desk.page.locator("script").count(), desk.page.locator("img").count()) == (scripts, images)


def test_takes_no_text_for_markup_even_where_it_is_told_to(browser: Browser, demo: Demo) -> None:
    page = browser.new_page()
    page.goto(demo.url)
    ran = page.evaluate(
        """() => {
          try { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); } catch (error) { return error.name; }
          return "written";
        }"""
    )
    page.close()
    assert ran == "TypeError"


@pytest.mark.parametrize("path", ["/asgi/me", "/api/page", "/"])
def test_is_out_of_reach_for_other_pages(opened: Opened, demo: Demo, browser: Browser, path: str) -> None:
    with Demo(port=0) as other:
        page = browser.new_page()
        page.goto(f"{other.url}api/state")
        reached = page.evaluate(
            """async (address) => {
              try { return (await fetch(address, { headers: { Authorization: "Bearer x" } })).status; }
              catch { return "nothing"; }
            }""",
            f"{demo.url.rstrip('/')}{path}",
        )
        page.close()
    assert reached == "nothing"


# --- Who can use it ---------------------------------------------------------------------------------------------------


def focused(desk: Desk) -> str:
    """What has the focus, by what it is and how it is called."""
    name: str = desk.page.evaluate(
        """() => { const at = document.activeElement;
          return `${at.tagName} ${at.id || at.value || at.textContent.slice(0, 30)}`; }"""
    )
    return name


def test_is_used_with_the_keyboard_alone(desk: Desk) -> None:
    keyboard = desk.page.keyboard
    keyboard.press("Tab")
    expect(desk.page.get_by_role("link", name="Skip to the call")).to_be_focused()
    expect(desk.page.get_by_role("link", name="Skip to the call")).to_be_in_viewport()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(desk.page.get_by_role("radio", name="Whatalo")).to_be_focused()
    before = desk.token
    keyboard.press("ArrowRight")
    expect(desk.page.locator("#token")).not_to_have_value(before)
    for _ in range(20):
        if "call-button" in focused(desk):
            break
        keyboard.press("Tab")
    keyboard.press("Enter")
    expect(desk.ruling).to_contain_text("403")
    expect(desk.page.get_by_role("button", name="Call", exact=True)).to_be_focused()


def test_leads_through_everything_and_out_again(desk: Desk) -> None:
    desk.opens_claims()
    desk.tries("replay")
    desk.page.locator("body").click(position={"x": 2, "y": 2})
    # Of a group of radio buttons the chosen one stands for all.
    usable = """() => [...document.querySelectorAll("a, button, select, textarea, summary, input:checked")]
      .filter((each) => each.checkVisibility())"""
    count = desk.page.evaluate(f"() => ({usable})().length")
    seen: list[int] = []
    for _ in range(2 * count):
        desk.page.keyboard.press("Tab")
        at = desk.page.evaluate(f"() => ({usable})().indexOf(document.activeElement)")
        if at in seen or at < 0:
            break
        seen.append(at)
    assert count > 25
    assert seen == [*range(count)]


def test_shows_where_the_focus_is(desk: Desk) -> None:
    desk.opens_claims()
    for _ in range(40):
        desk.page.keyboard.press("Tab")
        ring = desk.page.evaluate(
            """() => {
              const at = document.activeElement;
              if (at === document.body) return "none needed";
              const holder = at.matches("#token") ? at.parentElement : at;
              const shown = at.matches(".chips input") ? at.nextElementSibling : holder;
              const style = getComputedStyle(shown);
              return style.outlineStyle !== "none" || style.boxShadow !== "none" ? "shown" : at.outerHTML.slice(0, 80);
            }"""
        )
        assert ring in ("shown", "none needed")


def test_has_a_name_for_everything(desk: Desk) -> None:
    desk.opens_claims()
    desk.tries("store")
    assert nameless(desk.page) == []


def test_has_landmarks_and_headings_in_order(desk: Desk) -> None:
    for role in ("banner", "main", "contentinfo"):
        expect(desk.page.get_by_role(role)).to_have_count(1)
    for name in ("Call", "Verdict", "Try next", "The world around", "History"):
        expect(desk.page.get_by_role("region", name=name, exact=True)).to_be_visible()
    levels = [
        int(tag[1]) for tag in desk.page.locator("h1, h2, h3").evaluate_all("all => all.map((each) => each.tagName)")
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(following - level <= 1 for level, following in pairwise(levels))
    assert desk.page.locator("html").get_attribute("lang") == "en"


def test_reads_each_verdict_out(desk: Desk) -> None:
    said = desk.page.locator("#verdict-said")
    assert (said.get_attribute("role"), said.get_attribute("aria-live")) == ("status", "polite")
    expect(desk.ruling.locator(".sign")).to_have_attribute("aria-hidden", "true")
    desk.tries("expire")
    expect(said).to_contain_text("Refused")
    expect(said).to_contain_text("Reason word: expired")


@pytest.mark.parametrize("width", [320, 360, 414, 700, 1000, 1280])
def test_fits_the_window(opened: Opened, width: int) -> None:
    desk = opened(width=width, height=740).when_ready()
    desk.opens_claims()
    for label in ("OAuth JWT", "Opaque", "Shopify"):
        desk.takes(label)
        desk.calls("refund", "WSGI")
        desk.page.locator("#verdict-more details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
        assert width_needed(desk.page) <= width
        assert parts_cut_off(desk.page) == []
    for name, _ in OUTCOMES:
        desk.tries(name)
    assert width_needed(desk.page) <= width
    assert parts_cut_off(desk.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_can_be_read(opened: Opened, scheme: str) -> None:
    desk = opened(color_scheme=scheme).when_ready()
    desk.opens_claims()
    for name in ("expire", "replay", "store"):
        desk.tries(name)
        found = contrasts(desk.page)
        assert len(found) > 80
        assert [each for each in found if each["contrast"] < 4.5] == []


def test_is_dark_where_dark_is_asked_for(opened: Opened) -> None:
    shades = []
    for scheme in ("light", "dark"):
        page = opened(color_scheme=scheme).when_ready().page
        colour = page.locator("body").evaluate("each => getComputedStyle(each).backgroundColor")
        shades.append(sum(map(int, re.findall(r"\d+", colour))))
    assert shades[0] > 600
    assert shades[1] < 150


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_moves_only_where_nobody_minds(opened: Opened, motion: str, moves: bool) -> None:
    page = opened(reduced_motion=motion).when_ready().page
    names = page.locator(".ruling").evaluate("each => getComputedStyle(each).animationName")
    assert (names != "none") is moves


def test_says_on_a_phone_where_the_verdict_is(opened: Opened) -> None:
    desk = opened(width=360, height=740, has_touch=True, is_mobile=True).when_ready()
    desk.tries("forge")
    desk.page.locator("#outcome-forge").get_by_role("link", name="See the verdict").tap()
    expect(desk.ruling).to_be_in_viewport()


def test_asks_for_no_more_than_its_own_files(opened: Opened, demo: Demo) -> None:
    asked: list[str] = []
    desk = opened(address="about:blank")
    desk.page.on("request", lambda request: asked.append(request.url.removeprefix(demo.url)))
    desk.page.goto(demo.url)
    desk.when_ready()
    scripts = {"app.js", "dom.js", "experiments.js", "talk.js", "tokens.js", "verdict.js"}
    assert set(asked) == {"", "style.css", "icon.svg", *scripts, "api/page", "api/tokens", "asgi/orders"}
    assert json.loads(desk.page.evaluate("() => JSON.stringify(Object.keys(localStorage))")) == []
    assert desk.page.context.cookies() == []
