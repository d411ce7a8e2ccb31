e.id, d.state, d.tries, d.due_at_ms, d.reason, d.ended_at_ms, NULL, NULL, d.edition, d.replay_key, d.overtaken_at_ms,
    d.warned
