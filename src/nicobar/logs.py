"""Logs. Lines have `message_id`, `endpoint_id` and `source_id` if they are about one."""

from __future__ import annotations

import logging
import sys

import structlog

from nicobar.repeated_lines import RepeatedLines

Log = structlog.typing.FilteringBoundLogger
log: Log = structlog.get_logger("nicobar")


def set_up_logs(*, json: bool, level: str) -> None:
    """Writes to standard error: readable lines, or with `json` one JSON object per line. The logs of libraries go the
    same way.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if json else structlog.processors.StackInfoRenderer(),
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=28,
            # The default shows every variable of every frame, including secrets.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[RepeatedLines(), *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render], foreign_pre_chain=shared
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn's lines on starting and stopping repeat ours.
    logging.getLogger("uvicorn.error").setLevel(max(root.level, logging.WARNING))
