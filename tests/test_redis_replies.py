"""Replies of Redis, read by our own connections: any reply, cut anyhow, is read as it was sent, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import pytest
import redis
import redis.asyncio
from hypothesis import example, given
from hypothesis import strategies as st
from redis._parsers import Encoder, _AsyncRESP2Parser, _RESP2Parser
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse
from redis.retry import Retry
from redis.utils import HIREDIS_AVAILABLE

from bearerguard.core.ports import ReplyLost
from bearerguard.errors import StoreUnavailable
from bearerguard.stores import RedisStore
from bearerguard.stores.redis import replies
from bearerguard.stores.redis.parsers import AsyncParser, SyncParser
from bearerguard.stores.redis.replies import MORE, MOST_BYTES, MOST_DEPTH, MOST_IN_A_LINE, MOST_ITEMS, Replies
from tests.scripted_redis import Command, Hangup, bulk, echoed, scripted_redis
from tests.store_calls import Flavour, calls_to

Sent: TypeAlias = tuple[bytes, Any]
"""The bytes of a reply, and what is to be read."""

_TEXT = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=20)


# --- What a server may send ------------------------------------------------------------------------------------------


def _array(items: Sequence[Sent]) -> Sent:
    return b"*%d\r\n" % len(items) + b"".join(sent for sent, _ in items), [value for _, value in items]


_STRINGS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"", b"\r\n", b"$-1\r\n", b"$1\r\na\r\n", b"a\r\nb", b"\r", b"x" * 255, b"x" * 256, b"x" * 5000]),
).map(lambda value: (bulk(value), value))
_NILS = st.sampled_from([(b"$-1\r\n", None), (b"*-1\r\n", None)])
_NUMBERS = st.integers(-(2**63), 2**63 - 1).map(lambda number: (b":%d\r\n" % number, number))
_STATUSES = _TEXT.map(lambda text: (b"+%b\r\n" % text.encode(), text.encode()))
_ERRORS = st.sampled_from(
    ["ERR no", "WRONGTYPE Operation", "NOSCRIPT no", "MOVED 1 h:1", "LOADING wait", "NOAUTH", ""]
).map(lambda text: (b"-%b\r\n" % text.encode(), ValueError(text)))
_TREES = st.recursive(
    st.one_of(_STRINGS, _NILS, _NUMBERS, _STATUSES, _ERRORS),
    lambda items: st.lists(items, max_size=6).map(_array),
    max_leaves=20,
).filter(lambda sent: _depth(sent[1]) <= MOST_DEPTH)
_CUTS = st.lists(st.integers(0, 400), max_size=12)
_SCRAPS = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\r\n", b"\r", b"\n", b"$", b"*", b":", b"+", b"-", b"-1", b"0", b"1", b"2", b"9" * 30, b"a"]
        ),
        st.sampled_from([b"*2\r\n", b"$1\r\na\r\n", b"$-1\r\n", b":1\r\n", b"$2\r\n\r\n\r\n", b"*1\r\n" * 9]),
        st.binary(max_size=8),
    ),
    max_size=20,
).map(b"".join)


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _plain(value: Any) -> Any:
    """A reply that can be compared: errors are not equal by themselves."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return (type(value), str(value)) if isinstance(value, Exception) else (type(value), value)


# --- The reader ------------------------------------------------------------------------------------------------------


def _read(pieces: Iterable[bytes]) -> tuple[list[Any], str, bool]:
    """The replies that are read of pieces, how it ends, and whether there is nothing left."""
    reader, read = Replies(ValueError), list[Any]()
    for piece in pieces:
        reader.feed(piece)
        try:
            while (reply := reader.next()) is not MORE:
                read.append(_plain(reply))
        except InvalidResponse as error:
            with pytest.raises(InvalidResponse):
                reader.next()
            return read, str(error), reader.is_at_rest
    return read, "more", reader.is_at_rest


@given(st.lists(_TREES, max_size=4), _CUTS)
def test_reads_replies_as_they_were_sent_however_they_are_cut(sent: list[Sent], cuts: list[int]) -> None:
    data = b"".join(part for part, _ in sent)
    assert _read(_pieces(data, cuts)) == ([_plain(value) for _, value in sent], "more", True)


@given(_TREES)
def test_reads_a_reply_byte_by_byte_and_not_before_it_is_whole(sent: Sent) -> None:
    data, value = sent
    assert _read(bytes([byte]) for byte in data) == ([_plain(value)], "more", True)
    read, ending, at_rest = _read([data[:-1]])
    assert (read, ending, at_rest) == ([], "more", False)


@given(_SCRAPS, _CUTS)
@example(b"*1\r\n$5\r", [])
@example(b"*2\r\n$1\r\na\r\n$1\r\n\r\r\n", [])
def test_whatever_comes_is_replies_and_then_more_or_an_error_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    read, ending, at_rest = _read([data])
    assert len(read) <= len(data)
    assert at_rest is False or ending == "more"
    assert _read(_pieces(data, cuts)) == (read, ending, at_rest)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"*1\r\n" * (MOST_DEPTH - 1) + b"*1\r\n+OK\r\n", id="as deep as may be"),
        pytest.param(b"*%d\r\n" % 1000 + b"$-1\r\n" * 1000, id="many"),
        pytest.param(b"+" + b"a" * (MOST_IN_A_LINE - 1) + b"\r\n", id="a long line"),
        pytest.param(bulk(b"a" * 2**20), id="a long string"),
        pytest.param(b":-0\r\n", id="less than nothing"),
        pytest.param(b":+1\r\n", id="more than nothing"),
    ],
)
def test_reads_what_is_inside_the_bounds(data: bytes) -> None:
    read, ending, at_rest = _read([data])
    assert (len(read), ending, at_rest) == (1, "more", True)


@pytest.mark.parametrize(
    "data", [b"*%d\r\n" % MOST_ITEMS, b"$%d\r\n" % MOST_BYTES, b"$00000000\r\n", b"+" + b"a" * (MOST_IN_A_LINE - 1)]
)
def test_waits_for_what_is_inside_the_bounds(data: bytes) -> None:
    assert _read([data]) == ([], "more", False)


NO_REPLIES = [
    pytest.param(b"$abc\r\n", id="a size in letters"),
    pytest.param(b"$1x\r\na\r\n", id="a size with a letter"),
    pytest.param(b"$\r\n", id="no size"),
    pytest.param(b"$ 1\r\na\r\n", id="a size with a space"),
    pytest.param(b"$+1\r\na\r\n", id="a size with a sign"),
    pytest.param(b"$1_0\r\naaaaaaaaaa\r\n", id="a size with an underline"),
    pytest.param("$٣\r\naaa\r\n".encode(), id="a size in other digits"),
    pytest.param(b"$-2\r\n", id="a negative size"),
    pytest.param(b"$-01\r\n", id="a negative size with a nought"),
    pytest.param(b"$%d\r\n" % (MOST_BYTES + 1), id="a string that is too long"),
    pytest.param(b"$" + b"9" * 5000 + b"\r\n", id="a size of 5000 digits"),
    pytest.param(b"*%d\r\n" % (MOST_ITEMS + 1), id="an array that is too long"),
    pytest.param(b"*-2\r\n", id="a negative array"),
    pytest.param(b"*x\r\n", id="an array of letters"),
    pytest.param(b"*1\r\n" * (MOST_DEPTH + 1) + b"+OK\r\n", id="too many arrays within one another"),
    pytest.param(b"+" + b"a" * MOST_IN_A_LINE, id="a line without an end"),
    pytest.param(b"+" + b"a" * MOST_IN_A_LINE + b"\r\n", id="a line that is too long"),
    pytest.param(b"$1\r\nab\r\n", id="a string that is too short"),
    pytest.param(b"*2\r\n$1\r\nab\r\n$1\r\na\r\n", id="a string that is too short in an array"),
    pytest.param(b"$3\r\na\r\nbc\r\n", id="a string whose end is elsewhere"),
    pytest.param(b":\r\n", id="no number"),
    pytest.param(b":-\r\n", id="a sign alone"),
    pytest.param(b":1.5\r\n", id="a fraction"),
    pytest.param(b":" + b"1" * 20 + b"\r\n", id="a number that is too big"),
    pytest.param(b"\r\n", id="an empty line"),
    pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP"),
    pytest.param(b"\x15\x03\x03\x00\x02\x02\x46", id="TLS"),
    pytest.param(b"_\r\n", id="a nil of RESP3"),
    pytest.param(b">2\r\n", id="a push of RESP3"),
    pytest.param(b"*2\r\n$1\r\na\r\n?\r\n", id="an unknown type in an array"),
]


@pytest.mark.parametrize("data", NO_REPLIES)
def test_what_is_no_reply_is_an_error_at_once(data: bytes) -> None:
    for pieces in ([data], _pieces(data, range(0, len(data), 1 + len(data) // 100))):
        read, ending, at_rest = _read(pieces)
        assert (read, at_rest) == ([], False)
        assert ending != "more"


def test_bounds_a_reply_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MOST_BYTES", 1000)
    assert _read([bulk(b"a" * 700)] * 3)[1:] == ("more", True)
    endless = [b"*100\r\n", *[bulk(b"a" * 300)] * 3]
    assert _read(endless)[1] == "more"
    assert _read([*endless, bulk(b"a" * 300)])[1] == "a reply that is too long"


# --- As redis-py's own parsers do ------------------------------------------------------------------------------------


class _Socket:
    """Gives the pieces, and then the end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def recv(self, _: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def settimeout(self, seconds: float | None) -> None: ...


_encoder: Callable[[str, str, bool], Any] = Encoder


class _Connected:
    """What a parser looks at of a connection."""

    socket_timeout = None

    def __init__(self, source: Any, *, decodes: bool = False) -> None:
        self._sock = self._reader = source
        self.encoder = _encoder("utf-8", "replace", decodes)


def _outcome(reply: Callable[[], Any]) -> Any:
    try:
        return _plain(reply())
    except Exception as error:
        return "raised", type(error)


def _sync_outcome(kind: Any, pieces: Iterable[bytes], *, decodes: bool | None) -> Any:
    parser = kind(socket_read_size=65536)
    parser.on_connect(_Connected(_Socket(pieces), decodes=bool(decodes)))
    return _outcome(lambda: parser.read_response(disable_decoding=decodes is None))


def _async_outcome(kind: Any, pieces: Iterable[bytes], *, decodes: bool | None) -> Any:
    async def read() -> Any:
        stream, parser = asyncio.StreamReader(), kind(socket_read_size=65536)
        parser.on_connect(_Connected(stream, decodes=bool(decodes)))
        reading = asyncio.create_task(parser.read_response(disable_decoding=decodes is None))
        for piece in pieces:
            await asyncio.sleep(0)
            stream.feed_data(piece)
        stream.feed_eof()
        return await reading

    return _outcome(lambda: asyncio.run(read()))


@given(_TREES, _CUTS, st.sampled_from([None, False, True]))
def test_both_flavours_answer_as_the_parsers_of_redis_py(sent: Sent, cuts: list[int], decodes: bool | None) -> None:
    data, pieces = sent[0], _pieces(sent[0], cuts)
    answer = _sync_outcome(_RESP2Parser, [data], decodes=decodes)
    assert _sync_outcome(SyncParser, pieces, decodes=decodes) == answer
    assert _async_outcome(AsyncParser, pieces, decodes=decodes) == answer
    assert _async_outcome(_AsyncRESP2Parser, [data], decodes=decodes) == answer


@given(_TREES, st.integers(1, 400))
def test_a_reply_that_ends_in_the_middle_is_a_connection_error(sent: Sent, missing: int) -> None:
    data = sent[0][:-missing]
    for outcome, kind in ((_sync_outcome, SyncParser), (_async_outcome, AsyncParser)):
        assert outcome(kind, [data], decodes=None)[0] == "raised"
    assert _sync_outcome(SyncParser, [b"*2\r\n$-1\r\n"], decodes=None) == ("raised", redis.ConnectionError)
    assert _async_outcome(AsyncParser, [b"*2\r\n$-1\r\n"], decodes=None) == ("raised", redis.ConnectionError)


# --- What is left over -----------------------------------------------------------------------------------------------


def test_bytes_after_a_reply_leave_a_blocking_connection_unquiet() -> None:
    parser = SyncParser(socket_read_size=65536)
    parser.on_connect(_Connected(_Socket([b"+OK\r\n+OK\r\n"])))
    assert parser.read_response() == b"OK"
    assert parser.can_read()
    assert parser.read_response() == b"OK"
    with pytest.raises(redis.ConnectionError):
        parser.can_read()
    parser.on_disconnect()
    with pytest.raises(redis.ConnectionError):
        parser.read_response()


def test_bytes_after_a_reply_leave_a_connection_of_a_loop_unquiet() -> None:
    asyncio.run(_bytes_after_a_reply())


async def _bytes_after_a_reply() -> None:
    stream, parser = asyncio.StreamReader(), AsyncParser(socket_read_size=65536)
    parser.on_connect(_Connected(stream))
    stream.feed_data(b"+OK\r\n+OK\r\n")
    assert await parser.read_response() == b"OK"
    assert await parser.can_read()
    assert await parser.can_read_destructive()
    assert await parser.read_response() == b"OK"
    assert not await parser.can_read()
    stream.feed_eof()
    assert await parser.can_read()
    parser.on_disconnect()
    assert await parser.can_read()
    with pytest.raises(redis.ConnectionError):
        await parser.read_response()


@pytest.mark.parametrize("more", [b"+OK\r\n", b"x", b"\r\n", b"$"])
def test_the_reply_to_a_command_is_none_when_more_came_than_that(more: bytes) -> None:
    for reply in (b"+OK\r\n", b"-ERR no\r\n", b"*1\r\n$-1\r\n"):
        for outcome, kind in ((_sync_outcome, SyncParser), (_async_outcome, AsyncParser)):
            assert outcome(kind, [reply + more], decodes=None) == ("raised", InvalidResponse)


def test_a_connection_begins_without_what_was_left_of_the_one_before() -> None:
    parser = SyncParser(socket_read_size=65536)
    parser.on_connect(_Connected(_Socket([b"*2\r\n$-1\r\n"])))
    with pytest.raises(redis.ConnectionError):
        parser.read_response()
    parser.on_connect(_Connected(_Socket([b"+OK\r\n"])))
    assert parser.read_response() == b"OK"


# --- On the wire -----------------------------------------------------------------------------------------------------


def _to_first(reply: bytes, *, then_hangs_up: bool = False) -> Callable[[Command], Iterable[bytes]]:
    """A server that answers well but for one key."""

    def answer(command: Command) -> Iterable[bytes]:
        if not command[-1].endswith(b"first"):
            yield echoed(command)
            return
        yield reply
        if then_hangs_up:
            raise Hangup

    return answer


@pytest.mark.parametrize(
    "reply",
    [
        *NO_REPLIES,
        pytest.param(b"*1\r\n$5\r\nfirst\r\n*1\r\n$7\r\nplanted\r\n", id="two replies"),
        pytest.param(b"*1\r\n$5\r\nfirst\r\n\r\n", id="an end too many"),
        pytest.param(b"-MOVED\r\n", id="moved to nowhere"),
    ],
)
def test_a_hostile_reply_is_no_answer_and_its_connection_is_not_used_again(flavour: Flavour, reply: bytes) -> None:
    with scripted_redis(_to_first(reply)) as server, calls_to(RedisStore(server.url), flavour) as calls:
        assert calls.read("warm") == ["warm"]
        with pytest.raises(StoreUnavailable):
            calls.read("first")
        # A read is asked again once, on a connection of its own.
        for number in range(3):
            assert calls.read(f"n{number}") == [f"n{number}"]
        assert server.connections == 3


@pytest.mark.parametrize("reply", [b"*1\r\n$5\r\nfir", b"*1\r\n", b"*1\r\n$5\r\nfirst\r", b"*", b""])
@pytest.mark.parametrize("hangs_up", [True, False], ids=["closed", "silent"])
def test_a_reply_that_is_cut_off_is_no_answer(flavour: Flavour, reply: bytes, hangs_up: bool) -> None:
    answer = _to_first(reply, then_hangs_up=hangs_up)
    with scripted_redis(answer) as server, calls_to(RedisStore(server.url), flavour) as calls:
        assert calls.read("warm") == ["warm"]
        with pytest.raises(StoreUnavailable):
            calls.read("first")
        assert calls.read("second") == ["second"]


@pytest.mark.parametrize("reply", NO_REPLIES)
def test_a_hostile_reply_to_a_claim_leaves_it_unknown(flavour: Flavour, reply: bytes) -> None:
    with (
        scripted_redis(lambda _: [reply]) as server,
        calls_to(RedisStore(server.url), flavour) as calls,
        pytest.raises(ReplyLost),
    ):
        calls.spend("s:one", "nonce")


def _spied(monkeypatch: pytest.MonkeyPatch, hears: Callable[[bytes], object]) -> None:
    feed = Replies.feed
    monkeypatch.setattr(Replies, "feed", lambda self, data: (hears(data), feed(self, data)))


def test_a_task_that_is_cancelled_in_the_middle_of_a_reply_takes_its_connection_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(port: Any) -> None:
        heard = asyncio.Event()
        _spied(monkeypatch, lambda data: heard.set() if b"fi" in data else None)
        assert await port.read(("warm",), within=1) == ["warm"]
        reading = asyncio.create_task(port.read(("first",), within=1))
        await asyncio.wait_for(heard.wait(), 1)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        assert await port.read(("second",), within=1) == ["second"]

    with scripted_redis(_to_first(b"*1\r\n$5\r\nfi")) as server, calls_to(RedisStore(server.url), "async") as calls:
        calls.run(use(calls.port))
        assert server.connections == 2


def test_reads_what_its_own_connections_hear_and_leaves_a_client_its_parser(
    flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    _spied(monkeypatch, heard.append)
    with scripted_redis(lambda command: [echoed(command)]) as server:
        kind: Any = redis.Redis if flavour == "sync" else redis.asyncio.Redis
        retry: Any = Retry if flavour == "sync" else AsyncRetry
        bounds = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "retry": retry(NoBackoff(), 0)}
        client = kind.from_url(f"{server.url}?protocol=2", **bounds)
        with calls_to(RedisStore(client), flavour) as calls:
            assert calls.read("theirs") == ["theirs"]
            if flavour == "async":
                calls.run(client.aclose())
        if flavour == "sync":
            client.close()
        assert heard == []
        with calls_to(RedisStore(server.url), flavour) as calls:
            assert calls.read("ours") == ["ours"]
        # hiredis is quicker: redis-py reads with it where it is installed.
        assert any(b"ours" in data for data in heard) is not HIREDIS_AVAILABLE
