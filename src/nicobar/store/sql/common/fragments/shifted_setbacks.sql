failing_since_ms = failing_since_ms + :by_ms, failed_at_ms = failed_at_ms + :by_ms, back_at_ms = back_at_ms + :by_ms,
    overtaken_at_ms = overtaken_at_ms + :by_ms, throttled_since_ms = throttled_since_ms + :by_ms,
    throttling_shown_at_ms = throttling_shown_at_ms + :by_ms
