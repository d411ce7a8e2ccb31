"""Which connections a server has, and which it closes for others."""

from __future__ import annotations

import asyncio
import ipaddress
import resource

import pytest
import uvicorn
from uvicorn.server import ServerState

from nicobar.errors import Refusal
from nicobar.web.admission import MIN_LEAVING_REQUESTS, Share
from nicobar.web.asgi import Message, Receive, Send, send_json
from nicobar.web.connection_pool import LOOPBACK, Limits, Pool, State, address_key
from nicobar.web.connections import Connection
from nicobar.web.serving import RESERVED_FILES, Server
from support.http import Echo, Hits, Line, get, lines, once, post, serving
from support.patience import PATIENCE_S

LARGE = b"x" * 20_000_000
OTHER = "127.0.0.2"


async def filled(app: Echo, opened: list[Line]) -> None:
    for line in opened:
        await line.say(get("/wait"))
        await app.waiting.acquire()


async def test_a_full_server_replaces_the_longest_idle_connection():
    hits = Hits()
    async with serving(hits=hits, max_connections=4) as server, lines(server.port, 4) as opened:
        first, half, third, used = opened
        # The first is the oldest, but it has just been used.
        assert (await first.ask(get("/"))).status == 200
        await half.say(b"GET / HT")
        assert (await used.ask(get("/"))).status == 200
        async with lines(server.port, 2) as newcomers:
            answer = await half.answer()
            assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "too_busy", "1")
            assert await half.rest() == b""
            assert await third.rest() == b""
            for line in (first, used, *newcomers):
                assert (await line.ask(get("/"))).status == 200
    assert hits.reasons == ["evicted", "evicted"]


async def test_requests_in_progress_are_not_closed_for_new_connections():
    app = Echo()
    async with serving(app, max_connections=8) as server, lines(server.port, 3) as busy:
        await filled(app, busy)
        async with lines(server.port, 50):
            assert (await once(server.port, post("/", b"x"))).status == 200
        app.go.set()
        assert [(await line.answer()).status for line in busy] == [200] * 3


async def test_an_address_at_its_limit_loses_its_own_silent_connections():
    async with (
        serving(max_connections_per_address=3) as server,
        lines(server.port, 1, "127.0.0.3") as (other,),
        lines(server.port, 3, OTHER) as (oldest, *_),
    ):
        assert (await once(server.port, get("/"), OTHER)).status == 200
        assert await oldest.rest() == b""
        assert (await other.ask(get("/"))).status == 200


async def test_an_address_without_free_connections_gets_503():
    app = Echo()
    hits = Hits()
    async with (
        serving(app, hits, max_connections_per_address=3) as server,
        lines(server.port, 3, OTHER) as busy,
        lines(server.port, 5) as trusted,
    ):
        await filled(app, busy)
        line = await Line.open(server.port, OTHER)
        answer = await line.answer()
        assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "too_busy", "1")
        assert await line.rest() == b""
        assert (await once(server.port, get("/"), "127.0.0.3")).status == 200
        await filled(app, trusted)
        app.go.set()
        assert [(await item.answer()).status for item in [*busy, *trusted]] == [200] * 8
        line.close()
    assert hits.reasons == ["address_busy"]


async def test_behind_a_trusted_proxy_requests_count_by_the_forwarded_address():
    app = Echo()
    async with serving(app, max_connections_per_address=3) as server, lines(server.port, 4) as opened:
        *busy, more = opened
        for line in busy:
            await line.say(get("/wait", "x-forwarded-for: 203.0.113.7"))
            await app.waiting.acquire()
        answer = await more.ask(get("/", "x-forwarded-for: 203.0.113.7"))
        assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "too_busy", "1")
        answer = await more.ask(get("/", "x-forwarded-for: 203.0.113.8"))
        assert (answer.status, answer.body["client"]) == (200, "203.0.113.8")
        app.go.set()
        assert [(await line.answer()).status for line in busy] == [200] * 3
        assert (await more.ask(get("/", "x-forwarded-for: 203.0.113.7"))).status == 200


async def test_forwarded_headers_of_untrusted_proxies_are_ignored():
    async with serving() as server:
        answer = await once(server.port, get("/", "x-forwarded-for: 203.0.113.7"), OTHER)
    assert answer.body["client"] == OTHER


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("127.0.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("127.0.0.2", "127.0.0.2"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("unknown", "unknown"),
    ],
)
def test_addresses_of_one_customer_count_together(address, key):
    assert address_key(address, LOOPBACK) == key


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/30", "::ffff:127.0.0.1", "::/0", "127.0.0.9"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
async def test_a_proxy_is_trusted_in_both_forms_of_its_address(trusted, host):
    networks = (ipaddress.ip_network(trusted),)
    peer = "::ffff:127.0.0.1" if host == "::" else "127.0.0.1"
    is_trusted = address_key(peer, networks) is None
    server = await Server.start(Echo(), host, 0, limits=Limits(trusted_networks=networks))
    try:
        answer = await once(server.port, get("/", "x-forwarded-for: 203.0.113.7"))
    finally:
        await server.stop()
    assert answer.body["client"] == ("203.0.113.7" if is_trusted else peer)
    if host == "::":
        assert is_trusted is (trusted != "127.0.0.9")


class Counting(Echo):
    """Counts the requests that run at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.running = 0
        self.most_running = 0
        self.goodbye = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await super().__call__(scope, receive, send)
            if scope["path"] == "/goodbye":
                await self.goodbye.wait()
        finally:
            self.running -= 1


HALF = post("/", b"ab", length=20)


async def test_half_a_pipelined_request_does_not_cost_the_running_one():
    app = Counting()
    hits = Hits()
    shares = (Share(prefix="", max_requests=1),)
    async with (
        serving(app, hits, shares, discard_timeout_ms=1) as server,
        lines(server.port, 1) as (first,),
        lines(server.port, 20) as others,
    ):
        await first.say(post("/wait", b"x") + HALF)
        await app.waiting.acquire()
        for line in others:
            answer = await line.ask(post("/wait", b"x") + HALF)
            assert (answer.status, answer.body["code"]) == (503, "too_busy")
        assert app.most_running == 1
        app.go.set()
        assert (await first.answer()).status == 200
    assert hits.reasons.count("too_busy") >= 20
    assert app.most_running == 1


async def test_a_pipelined_body_that_stalls_is_replaceable_once_it_runs():
    app = Counting()
    shares = (Share(prefix="", max_requests=1),)
    async with serving(app, shares=shares) as server, lines(server.port, 1) as (line,):
        await line.say(post("/wait", b"x") + HALF)
        await app.waiting.acquire()
        app.go.set()
        assert (await line.answer()).status == 200
        while app.served < 2:
            await asyncio.sleep(0)
        assert (await once(server.port, get("/"))).status == 200
        answer = await line.answer()
        assert (answer.status, answer.body["code"]) == (503, "too_busy")


async def test_a_request_that_works_before_its_body_keeps_its_place():
    app = Counting()
    shares = (Share(prefix="", max_requests=1),)
    async with serving(app, shares=shares) as server, lines(server.port, 1) as (half,):
        await half.say(post("/wait", b"x", length=3))
        await app.waiting.acquire()
        for _ in range(5):
            assert (await once(server.port, get("/wait"))).status == 503
        assert app.most_running == 1
        app.go.set()
        await half.say(b"yz")
        assert (await half.answer()).body["bytes"] == 3


async def test_closed_requests_that_still_run_are_bounded():
    app = Counting()
    shares = (Share(prefix="", max_requests=1),)
    async with serving(app, shares=shares) as server:
        statuses = []
        async with lines(server.port, 40) as opened:
            for number, line in enumerate(opened):
                await line.say(post("/goodbye", b"x", length=3))
                while app.served + statuses.count(503) <= number:
                    if app.served == 1 + MIN_LEAVING_REQUESTS:
                        statuses.append((await line.answer()).status)
                    await asyncio.sleep(0)
        assert app.most_running == 1 + MIN_LEAVING_REQUESTS
        app.goodbye.set()
        while app.running:
            await asyncio.sleep(0)
        assert (await once(server.port, get("/"))).status == 200


async def test_a_disconnect_is_noticed_behind_a_pipelined_request():
    gone = asyncio.Event()
    started = asyncio.Event()
    echo = Echo()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await echo(scope, receive, send)
            return
        started.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with serving(app) as server:
        line = await Line.open(server.port)
        await line.say(post("/", b"x") + HALF)
        await started.wait()
        line.close()
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()


async def test_stalled_bodies_make_room_for_requests_that_are_complete():
    hits = Hits()
    shares = (Share(prefix="", max_requests=5),)
    async with serving(hits=hits, shares=shares) as server, lines(server.port, 20) as stalled:
        for line in stalled:
            await line.say(post("/", b"x", length=1_000))
        for _ in range(3):
            assert (await once(server.port, post("/", b"xyz"))).body["bytes"] == 3
        answer = await stalled[0].answer()
        assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "too_busy", "1")
        assert await stalled[0].rest() == b""
    assert set(hits.reasons) == {"evicted"}


async def test_requests_beyond_their_share_are_503_without_affecting_others():
    app = Echo()
    hits = Hits()
    shares = (Share(prefix="/in/", max_requests=3), Share(prefix="", max_requests=2))
    async with serving(app, hits, shares) as server, lines(server.port, 2) as busy:
        await filled(app, busy)
        line = await Line.open(server.port)
        for _ in range(3):
            answer = await line.ask(get("/"))
            assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "too_busy", "1")
            assert answer.headers["content-type"] == "application/json"
            assert (await line.ask(post("/in/x", b"x"))).status == 200
        app.go.set()
        assert [(await item.answer()).status for item in busy] == [200, 200]
        assert (await line.ask(get("/"))).status == 200
        line.close()
    assert hits.reasons == ["too_busy"] * 3


async def test_one_group_of_requests_leaves_half_of_its_share():
    app = Echo()
    shares = (Share(prefix="/in/", max_requests=4, group=lambda path: path[4:5]), Share(prefix="", max_requests=1))
    async with serving(app, shares=shares) as server, lines(server.port, 4) as (first, stalled, second, other):
        await first.say(get("/in/a/wait"))
        await app.waiting.acquire()
        await stalled.say(post("/in/a", b"x", length=9))
        await second.say(get("//in/a/wait"))
        await app.waiting.acquire()
        assert (await stalled.answer()).status == 503, "its group's newer request has its place"
        answer = await once(server.port, get("/in/a/wait"))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "2 requests for this source" in answer.body["detail"]
        assert (await other.ask(post("/in/b", b"x"))).status == 200
        assert (await other.ask(get("/"))).status == 200
        app.go.set()
        assert [(await line.answer()).status for line in (first, second)] == [200, 200]


async def test_a_full_share_closes_requests_of_the_largest_group():
    shares = (Share(prefix="", max_requests=4, group=lambda path: path[1:2]),)
    async with serving(shares=shares) as server, lines(server.port, 5) as (small, large, larger, other, last):
        for line, path in ((small, "/s"), (large, "/l"), (larger, "/l"), (other, "/o")):
            await line.say(post(path, b"x", length=9))
        assert (await last.ask(post("/n", b"x"))).status == 200
        assert (await large.answer()).status == 503
        for line in (small, larger, other):
            assert (await line.ask(b"x" * 8)).status == 200


class Refusing(Echo):
    """Answers a refusal, as every application does."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except Refusal as refusal:
            await send_json(send, refusal.status, {"code": refusal.code})


async def test_bodies_of_one_group_use_half_of_the_memory_of_a_share():
    hits = Hits()
    shares = (Share(prefix="", max_requests=9, max_body_bytes=40_000, group=lambda path: path[1:2]),)
    async with serving(Refusing(), hits, shares) as server, lines(server.port, 4) as (small, large, other, last):
        await small.say(post("/a", b"x" * 1_000, length=1_001))
        await large.say(post("/a", b"x" * 15_000, length=15_001))
        await other.say(post("/b", b"x" * 15_000, length=15_001))
        # Before the next one, all of these are in memory.
        assert (await last.ask(post("/c", b"x" * 8_000))).body["bytes"] == 8_000
        assert (await last.ask(post("/a", b"x" * 8_000))).body["bytes"] == 8_000
        assert (await large.answer()).status == 503, "it uses most of its group's memory"
        assert (await last.ask(post("/a", b"x" * 30_000))).status == 503
        for line in (small, other):
            assert (await line.ask(b"x")).status == 200
    assert hits.reasons == ["evicted", "too_busy"]


async def test_an_unread_answer_is_aborted():
    hits = Hits()
    app = Echo(LARGE)
    shares = (Share(prefix="", max_requests=1),)
    async with serving(app, hits, shares, send_timeout_ms=100) as server:
        line = await Line.open(server.port)
        await line.say(get("/large"))
        await hits.until("response_unread")
        assert len(await line.rest()) < len(LARGE)
        assert (await once(server.port, get("/"))).status == 200
        line.close()


class Wire(asyncio.Transport):
    """A transport whose client reads as slowly as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent_bytes = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def test_only_a_response_read_too_slowly_is_aborted():
    pool = Pool(Limits(min_send_bytes=1_000), Hits())
    connection = Connection(uvicorn.Config(Echo(), log_config=None), ServerState(), {}, pool=pool)
    wire = Wire()
    connection.connection_made(wire)
    wire.unsent_bytes = 100_000
    connection.pause_writing()
    for read_bytes, aborted in ((1_000, False), (50_000, False), (999, True)):
        wire.unsent_bytes -= read_bytes
        connection.expire()
        assert wire.aborted is aborted
    assert len(pool) == 0
    pool.close()


async def test_half_a_pipelined_request_does_not_make_its_connection_replaceable():
    app = Echo()
    pool = Pool(Limits(max_connections=1), Hits())
    state = ServerState()
    config = uvicorn.Config(app, log_config=None)
    connection = Connection(config, state, {}, pool=pool)
    connection.connection_made(Wire())
    connection.data_received(get("/wait") + HALF)
    await app.waiting.acquire()
    assert connection.state is State.BUSY
    refusal = pool.enter(Connection(config, state, {}, pool=pool))
    assert refusal is not None
    assert refusal.code == "too_busy"
    connection.connection_lost(ConnectionResetError())
    app.go.set()
    await asyncio.gather(*state.tasks)
    pool.close()


async def test_an_early_answer_closes_the_connection_without_its_body():
    app = Echo(b"early")
    async with serving(app, discard_timeout_ms=100) as server:
        line = await Line.open(server.port)
        await line.say(post("/large", b"x", length=1_000))
        assert b"early" in await line.rest()
        line.close()


async def test_a_connection_is_reused_after_a_late_body():
    app = Echo(b"early")
    async with serving(app) as server:
        line = await Line.open(server.port)
        answered = await line.ask(post("/", b"", length=0))
        assert answered.status == 200
        await line.say(post("/large", b"x", length=4))
        while app.served < 2:
            await asyncio.sleep(0)
        await line.say(b"yz!")
        answer = await line.ask(get("/"))
        assert answer.status == 200
        line.close()


async def test_a_client_that_still_sends_sees_why_it_was_rejected():
    async with serving() as server:
        line = await Line.open(server.port)
        await line.say(b"nonsense\r\n\r\n" + b"x" * 10_000_000)
        assert (await line.answer()).status == 400
        line.close()


async def test_a_server_stops_while_connections_are_silent_and_lingering():
    async with serving(discard_timeout_ms=600_000) as server, lines(server.port, 6) as opened:
        silent, half, idle, lingering, *_ = opened
        await half.say(b"GET /")
        assert (await idle.ask(get("/"))).status == 200
        await lingering.ask(b"nonsense\r\n\r\n")
    assert await silent.rest() == b""


async def test_a_server_that_stops_answers_what_it_has_begun():
    app = Echo()
    async with serving(app) as server, lines(server.port, 1) as opened:
        await filled(app, opened)
        stopping = asyncio.create_task(server.stop())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not stopping.done()
        app.go.set()
        assert (await opened[0].answer()).status == 200
        await stopping


async def test_what_outlasts_the_shutdown_is_canceled_and_logged(caplog):
    app = Echo()
    server = await Server.start(app, "127.0.0.1", 0, shutdown_s=0)
    async with lines(server.port, 1) as opened:
        await filled(app, opened)
        await server.stop()
        answer = await opened[0].answer()
        assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "too_busy", "1")
    assert "1 unfinished requests were canceled" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "most"),
    [
        (1_024, 1_048_576, 4_256, 2_000),
        (1_024, resource.RLIM_INFINITY, 4_256, 2_000),
        (1_024, 1_024, 1_024, 384),
        (8_192, 8_192, 8_192, 2_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2_000),
    ],
)
async def test_as_many_connections_as_the_process_may_open_files(monkeypatch, soft, hard, raised, most):
    allowed = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: allowed[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: allowed.append(pair))
    async with serving(max_connections=2_000) as server:
        assert server.max_connections == most
    assert allowed[-1] == (raised, hard)
    assert RESERVED_FILES == 256
