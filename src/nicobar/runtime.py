"""Builds and runs the parts of a process that receives, delivers, or both."""

from __future__ import annotations

import asyncio
import platform
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from prometheus_client import Gauge

from nicobar.addresses import AllowedAddresses
from nicobar.clock import Clock, SystemClock
from nicobar.connectors import Transport
from nicobar.connectors.fields import address_error
from nicobar.connectors.transport import HttpTransport
from nicobar.crypto import Vault
from nicobar.database import open_store
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import LimitReport, Metrics
from nicobar.model import UserRole
from nicobar.pipeline.alert_mail import Mail
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.backlog_gauges import BacklogGauges
from nicobar.pipeline.configuration import Configuration, Unusable
from nicobar.pipeline.deliver import Deliverer
from nicobar.pipeline.ledger import Ledger
from nicobar.pipeline.people_merging import PeopleMerger
from nicobar.pipeline.problems import Problems
from nicobar.pipeline.readiness import Readiness
from nicobar.pipeline.receive import Receiver
from nicobar.pipeline.recorder import Recorded
from nicobar.pipeline.rejected_requests import RefusalLog
from nicobar.pipeline.replay import Replayer
from nicobar.pipeline.retention import Maintainer, Remover
from nicobar.pipeline.standby import Standby
from nicobar.pipeline.worker import Worker
from nicobar.sandbox import Sandbox
from nicobar.sandbox.pool import SandboxPool
from nicobar.settings import Layers, Role, Settings
from nicobar.store import Store
from nicobar.store.hints import RELEASED
from nicobar.store.location import locate
from nicobar.store.migrations import Migrated
from nicobar.use_cases.identity_provider import IdentityProvider
from nicobar.use_cases.inspection import SpacedTransport
from nicobar.use_cases.request_limit import RequestLimit
from nicobar.use_cases.services import Services
from nicobar.use_cases.users import offer_setup_link
from nicobar.web.api.app import create_app
from nicobar.web.api.ops import create_ops
from nicobar.web.asgi import App, keep_encoded_slashes
from nicobar.web.dashboard.app import create_dashboard
from nicobar.web.ingress import Ingress
from nicobar.web.server_limits import request_shares, server_limits
from nicobar.web.serving import Server

_Work = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class Runtime:
    """A running Nicobar. Created by `run`."""

    def __init__(self, *, settings: Settings, store: Store, vault: Vault, clock: Clock, transport: Transport) -> None:
        self.settings = settings
        self.store = store
        self.vault = vault
        self.clock = clock
        self.ids = IdFactory(clock.now_ms)
        self.metrics = Metrics()
        self.configuration = Configuration(
            store, vault, clock, retry_after_ms=settings.retry_after_ms, redaction=settings.redaction
        )
        self.alerts = Alerts(
            store=store,
            configuration=self.configuration,
            vault=vault,
            transport=transport,
            clock=clock,
            ids=self.ids,
            metrics=self.metrics,
            endpoint_name=settings.alert_endpoint,
            mail=_mail(settings),
            on_accepted=self.wake,
        )
        self.backlog_gauges = BacklogGauges(store, self.configuration, clock, self.metrics)
        self.hints = locate(settings.database, settings.direct_database).hints(clock)
        self.worker: Worker | None = None
        self.server: Server | None = None
        # Where to set the owner's password, until it is set.
        self.setup_url: str | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def keep_running(self, stack: AsyncExitStack, name: str, work: _Work) -> None:
        """Runs the work until the stack ends."""
        stop = asyncio.Event()
        task = asyncio.create_task(work(stop), name=name)
        self._tasks.append(task)
        stack.push_async_callback(self._end, stop, task)

    async def _end(self, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        stop.set()
        await task
        self._tasks.remove(task)

    def readiness(self, sandbox: Sandbox) -> Readiness:
        return Readiness(
            role=self.settings.role,
            store=self.store,
            configuration=self.configuration,
            sandbox=sandbox,
            worker=lambda: self.worker,
            tasks=lambda: [*self._tasks, *(self.worker.tasks if self.worker else [])],
            directory=locate(self.settings.database).directory,
            clock=self.clock,
            metrics=self.metrics,
        )

    def problems(self, readiness: Readiness) -> Problems:
        return Problems(
            readiness=readiness,
            store=self.store,
            configuration=self.configuration,
            alerts=self.alerts,
            clock=self.clock,
            host=platform.node() or "localhost",
            backlog_limit_ms=self.settings.alert_backlog_minutes * 60_000,
        )

    def wake(self, endpoint_seqs: Sequence[int]) -> None:
        """Tells this process's worker about new work for these endpoints, and others about those that it does not
        have.
        """
        others = endpoint_seqs if self.worker is None else self.worker.wake(endpoint_seqs)
        if others and self.hints is not None:
            self.hints.tell(others)

    def hear(self, endpoint_seqs: Sequence[int]) -> None:
        """Another process has new work for these endpoints, for any if none is named."""
        if self.worker is not None:
            if endpoint_seqs:
                self.worker.wake(endpoint_seqs)
            else:
                self.worker.look()

    def is_told(self) -> bool:
        """Whether new work of all processes is told to this one."""
        return self.settings.role is Role.ALL if self.hints is None else self.hints.is_heard

    def forget_worker(self) -> None:
        self.worker = None

    async def refresh_gauges(self) -> None:
        _mark(self.metrics.unusable_endpoints, self.configuration.unusable_endpoints.values())
        _mark(self.metrics.unusable_sources, self.configuration.unusable_sources.values())
        await self.backlog_gauges.refresh()


def _mark(gauge: Gauge, unusable: Iterable[Unusable]) -> None:
    gauge.clear()
    for item in unusable:
        gauge.labels(item.name).set(1)


def _log_migrations(migrated: Migrated) -> None:
    if migrated.names:
        log.info("database migrated", migrations=list(migrated.names))
    if migrated.newer:
        log.warning("database of a newer version", migrations=list(migrated.newer))


@asynccontextmanager
async def run(
    settings: Settings,
    on_recorded: Callable[[Recorded], None] | None = None,
    origins: Mapping[str, str] | None = None,
    *,
    new_installation: bool = False,
    sandbox: Sandbox | None = None,
) -> AsyncIterator[Runtime]:
    """Receives and delivers, by role, until the block ends; then stops within `shutdown_ms`. `origins` are the
    origins of settings that are not the default. `new_installation` allows an empty database with an existing key.
    Handlers run in `sandbox`, by default in processes of its own.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        opening_store = open_store(settings, clock, new_installation=new_installation, on_migrated=_log_migrations)
        store, vault = await stack.enter_async_context(opening_store)
        transport = await stack.enter_async_context(HttpTransport(allowed=settings.allowed, proxy=settings.proxy))
        runtime = Runtime(settings=settings, store=store, vault=vault, clock=clock, transport=transport)
        await runtime.configuration.refresh()
        _log_rejected_addresses(runtime)
        stack.push_async_callback(runtime.alerts.close)
        stack.push_async_callback(runtime.backlog_gauges.close)
        runtime.keep_running(stack, "follow the configuration", runtime.configuration.follow)
        if runtime.hints is not None:
            stack.push_async_callback(runtime.hints.close)
        if sandbox is None:
            pool = SandboxPool(
                children=settings.sandbox_children,
                walled=settings.sandbox is Layers.SYSTEM,
                on_kill=lambda reason: runtime.metrics.sandbox_kills.labels(reason).inc(),
            )
            sandbox = await stack.enter_async_context(pool)
            await pool.check_wall()
            if not pool.is_walled:
                log.warning("handlers isolated by the JavaScript engine only", system=platform.system())
        if settings.role is not Role.WEB:
            standby = Standby(
                locate(settings.database),
                lambda parts, alone: _start_delivery(parts, alone, runtime, sandbox, on_recorded),
                clock,
            )
            await standby.start()
            if runtime.hints is not None:
                hints = runtime.hints
                runtime.keep_running(stack, "hints", lambda stop: hints.listen(runtime.hear, stop))
            runtime.keep_running(stack, "delivery", standby.run)
        readiness = runtime.readiness(sandbox)
        stack.push_async_callback(readiness.close)
        runtime.keep_running(stack, "problems", runtime.problems(readiness).run)
        ops = create_ops(runtime.metrics, readiness, runtime.refresh_gauges, metrics_token=settings.metrics_token)
        if settings.role is not Role.WORKER:
            await _start_web(stack, runtime, sandbox, ops, origins or {})
        elif "port" in (origins or {}):
            # A worker beside a web process of the same settings must not compete for its port by default.
            runtime.server = await Server.start(ops, settings.host, settings.port)
            stack.push_async_callback(runtime.server.stop)
        yield runtime


async def serve(
    settings: Settings,
    started: Callable[[Runtime], None],
    origins: Mapping[str, str] | None = None,
    *,
    new_installation: bool = False,
) -> None:
    """Runs until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with run(settings, origins=origins, new_installation=new_installation) as runtime:
        started(runtime)
        await ended.wait()
        log.info("stopping")
    log.info("stopped")


async def _start_delivery(
    stack: AsyncExitStack,
    alone: bool,  # noqa: FBT001 - as `Standby` passes it
    runtime: Runtime,
    sandbox: Sandbox,
    on_recorded: Callable[[Recorded], None] | None,
) -> None:
    store, clock = runtime.store, runtime.clock
    transport = await stack.enter_async_context(
        HttpTransport(allowed=runtime.settings.allowed, proxy=runtime.settings.proxy)
    )
    replayer = Replayer(replays=store, people=runtime.configuration, clock=clock, on_moved=runtime.wake)
    maintainer = Maintainer(store=store, clock=clock, retention_days=runtime.settings.retention_days)

    def may_send() -> bool:
        return worker.leases.may_send()

    merger = PeopleMerger(
        store=store,
        endpoints=lambda: runtime.configuration.endpoints,
        transport=transport,
        asking=SpacedTransport(transport, clock),
        clock=clock,
        may_send=may_send,
    )

    worker = Worker(
        store=store,
        configuration=runtime.configuration,
        deliverer=Deliverer(
            queue=store,
            facts=store,
            configuration=runtime.configuration,
            sandbox=sandbox,
            transport=transport,
            clock=clock,
            ids=runtime.ids,
            metrics=runtime.metrics,
            jitter=lambda: random.uniform(-1, 1),  # noqa: S311 - spreads retries, protects nothing
            alerts=runtime.alerts,
            on_recorded=on_recorded,
            may_send=may_send,
        ),
        clock=clock,
        ids=runtime.ids,
        metrics=runtime.metrics,
        alerts=runtime.alerts,
        alone=alone,
        overtake_after_ms=runtime.settings.overtake_after_s * 1_000,
        tasks={
            "replays": replayer.run,
            "merges": merger.run,
            "retention": maintainer.run,
            "ledger": Ledger(store=store, configuration=runtime.configuration, clock=clock).run,
            "removed endpoints": Remover(store=store, clock=clock).run,
        },
        is_told=runtime.is_told,
        on_released=lambda: runtime.wake([RELEASED]),
    )
    await worker.start()
    runtime.worker = worker
    stack.callback(runtime.forget_worker)
    stack.push_async_callback(worker.stop, runtime.settings.shutdown_ms)


async def _start_web(
    stack: AsyncExitStack,
    runtime: Runtime,
    sandbox: Sandbox,
    ops: App,
    origins: Mapping[str, str],
) -> None:
    settings = runtime.settings
    provider = await _open_provider(stack, runtime)
    receiver = Receiver(
        configuration=runtime.configuration,
        queue=runtime.store,
        ids=runtime.ids,
        clock=runtime.clock,
        metrics=runtime.metrics,
        alerts=runtime.alerts,
        on_accepted=runtime.wake,
    )
    refusals = RefusalLog(runtime.store, runtime.clock)
    runtime.keep_running(stack, "rejected requests", refusals.run)
    transport = await stack.enter_async_context(HttpTransport(allowed=settings.allowed, proxy=settings.proxy))
    services = Services(
        store=runtime.store,
        configuration=runtime.configuration,
        vault=runtime.vault,
        ids=runtime.ids,
        clock=runtime.clock,
        sandbox=sandbox,
        settings=settings,
        receiver=receiver,
        wake=runtime.wake,
        own_url=lambda: runtime.server.url if runtime.server else "",
        transport=transport,
        asking=SpacedTransport(transport, runtime.clock),
        alerts=runtime.alerts,
        origins=origins,
        request_limit=RequestLimit(runtime.store, settings.max_api_requests_per_s),
        provider=provider,
    )
    stack.push_async_callback(services.token_uses.settle)
    stack.push_async_callback(services.request_limit.settle)
    api = create_app(services, ops)
    app = Ingress(
        receiver,
        keep_encoded_slashes(create_dashboard(services, api)),
        runtime.metrics,
        refusals,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_ms=settings.body_timeout_ms,
    )
    # Before anybody is answered: a start that fails does so at once.
    has_owner = any(user.role is UserRole.OWNER for user in await runtime.store.users())
    setup_path = None if has_owner else await offer_setup_link(runtime.store, runtime.clock.now_ms())
    runtime.server = await Server.start(
        app,
        settings.host,
        settings.port,
        limits=server_limits(settings),
        shares=request_shares(settings, runtime.configuration.known_source_id),
        on_limit=LimitReport(runtime.metrics),
    )
    if runtime.server.max_connections < settings.max_connections:
        log.warning(
            "max_connections lowered because of the limit of open files (ulimit -Hn)",
            wanted=settings.max_connections,
            max_connections=runtime.server.max_connections,
        )
    stack.push_async_callback(runtime.server.stop)
    if setup_path is not None:
        runtime.setup_url = (settings.public_url.rstrip("/") or runtime.server.url) + setup_path


async def _open_provider(stack: AsyncExitStack, runtime: Runtime) -> IdentityProvider | None:
    """The provider of the settings, wherever it is: its address is the operator's. Raises SettingsError."""
    settings = runtime.settings
    if settings.oidc is None:
        return None
    of_provider = AllowedAddresses.of_url(settings.oidc.issuer)
    allowed = AllowedAddresses(entries=(*settings.allowed.entries, *of_provider.entries))
    transport = await stack.enter_async_context(HttpTransport(allowed=allowed, proxy=settings.proxy))
    return IdentityProvider.open(settings.oidc, transport, runtime.clock)


def _log_rejected_addresses(runtime: Runtime) -> None:
    """Logs the endpoints whose URL is an address that requests may not reach. Host names are resolved when something
    is sent, and by `nicobar doctor`.
    """
    for opened in runtime.configuration.endpoints.values():
        refused = runtime.settings.allowed.refused_literal(opened.destination.url)
        if refused is not None:
            error = address_error(refused)
            log.warning(
                "endpoint address not allowed",
                endpoint_id=opened.endpoint.id,
                code=error.code,
                detail=error.detail,
                fix=error.fix,
            )


def _mail(settings: Settings) -> Mail | None:
    if not settings.alert_smtp_url:
        return None
    return Mail(url=settings.alert_smtp_url, sender=settings.alert_mail_from, recipients=settings.alert_recipients)
