d.failing_since_ms, d.failed_at_ms, d.back_at_ms, d.overtaken_at_ms, d.throttled_since_ms, d.throttling_shown_at_ms
