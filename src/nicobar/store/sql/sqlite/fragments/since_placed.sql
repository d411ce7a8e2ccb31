coalesce(min(:now_ms, (SELECT accepted_at_ms FROM messages WHERE seq = position >> 20)), :now_ms)
