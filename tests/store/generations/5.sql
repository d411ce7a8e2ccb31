-- Rows as a process of version 5 stored them.
INSERT INTO applications (id, uid, content, removed) VALUES ('app_1', 'default', '{"name":"Shop"}', 0), ('app_2', 'b', '{}', 1);
INSERT INTO sources (id, app_id, name, kind, token, sealed_secrets, secret_references, uid, content)
    VALUES ('src_1', 'app_1', 'shop', 'dodo-payments', 'tok', x'00', '["SECRET"]', 'u', '{}');
INSERT INTO endpoints (seq, id, app_id, name, connector, settings, sealed_credentials, credential_references, event_types,
    variables, disabled, paused_reason, removed, uid, disabled_reason, max_messages_per_s, content, sealed_headers,
    transformation_enabled)
    VALUES (1, 'ep_1', 'app_1', 'hook', 'http', '{"url":"https://a.example"}', x'00', '{}', '["a.b"]', '{"K":"V"}', 0,
        'asked to', 0, 'u', NULL, 9, '{"channels":["c"]}', x'00', 1),
    (2, 'ep_2', 'app_1', 'gone', 'http', '{}', x'00', '{}', '[]', '{}', 1, NULL, 1, NULL, 'HTTP 410', NULL, '{}', x'', 0);
INSERT INTO transformations (endpoint_seq, version, code, created_at_ms) VALUES (1, 1, 'function handler(w) { return w }', 5);
INSERT INTO event_types (name, content) VALUES ('a.b', '{"name":"a.b"}');
INSERT INTO tokens (id, name, sha256, scope, app_id, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms, portal,
    session_id)
    VALUES ('tok_1', 'ci', 'aa', 'admin', NULL, 5, NULL, NULL, 9, 0, NULL),
    ('tok_2', 'link', 'bb', 'application', 'app_1', 5, 99, 6, NULL, 1, 'session');
UPDATE catalogue SET version = 7, checks = 3;
INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms, body,
    channels, tags, params, deliver_at_ms, expunged_at_ms)
    VALUES (1, 'msg_1', 'app_1', 'src_1', 'evt_1', 'a.b', 'cus_1', 5, 10, x'7b7d', '["c"]', '["t"]', '1', NULL, NULL),
    (2, 'msg_2', 'app_1', 'src_1', 'evt_2', 'a.b', 'cus_1', 5, 11, x'', '[]', '[]', NULL, NULL, 30),
    (3, 'msg_3', 'app_1', 'src_1', 'evt_3', 'a.b', 'cus_2', 5, 12, x'7b7d', '[]', '[]', NULL, NULL, NULL),
    (4, 'msg_4', 'app_1', 'src_1', 'evt_4', 'a.b', 'cus_2', 5, 13, x'7b7d', '[]', '[]', NULL, NULL, NULL),
    (5, 'msg_5', 'app_1', 'src_1', 'evt_5', 'a.b', NULL, 5, 13, x'7b7d', '[]', '[]', NULL, 9999, NULL);
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, reason, position, edition,
    manual, task_seq, failure, ended_at_ms)
    VALUES (1, 1, 'success', 1, 1, NULL, 'cus_1', NULL, 1048576, 2, 1, 1, NULL, 25),
    (2, 1, 'failed', 1, 1, NULL, 'cus_1', 'HTTP 404', 2097152, 0, 0, NULL, 'http_404', 25),
    (3, 1, 'pending', 1, 1, 20, 'cus_2', NULL, 3145728, 0, 0, NULL, NULL, NULL),
    (4, 1, 'pending', 0, 0, NULL, 'cus_2', NULL, 4194304, 0, 0, NULL, NULL, NULL),
    (5, 1, 'pending', 0, 0, 9999, NULL, NULL, 5242880, 0, 0, NULL, NULL, NULL);
INSERT INTO attempts (id, message_seq, endpoint_seq, content, state, status, manual, started_at_ms)
    VALUES ('atmpt_1', 1, 1, x'88a26964a761746d70745f31ad737461727465645f61745f6d7314ab6475726174696f6e5f6d7305a57374617465a773756363657373a6726561736f6ea86163636570746564b67472616e73666f726d6174696f6e5f76657273696f6e01a6737461747573ccc8a8726573706f6e7365a27b7d', 'success', 200, 1, 20),
    ('atmpt_2', 2, 1, x'88a26964a761746d70745f32ad737461727465645f61745f6d7314ab6475726174696f6e5f6d7305a57374617465a66661696c6564a6726561736f6ea3343034b67472616e73666f726d6174696f6e5f76657273696f6e01a6737461747573cd0194a8726573706f6e7365a27b7d', 'failed', 404, 0, 20);
INSERT INTO audit (seq, at_ms, actor, action, app_id, subject, detail)
    VALUES (1, 5, 'token ci', 'endpoint.create', 'app_1', 'ep_1', 'hook');
INSERT INTO answers (token_id, key, request, status, body, at_ms) VALUES ('tok_1', 'k', 'sha', 202, x'7b7d', 5);
INSERT INTO refusals (seq, source_id, at_ms, status, code, detail, event_id)
    VALUES (1, 'src_1', 5, 401, 'signature_invalid', 'No signature matches.', 'evt_0');
INSERT INTO breakers (endpoint_seq, content) VALUES (1, '{"state":"closed","failures":2}');
INSERT INTO tasks (seq, id, app_id, endpoint_seq, endpoint_id, kind, status, filter, new_ids, after_seq, until_seq, expected,
    moved, created_at_ms, updated_at_ms)
    VALUES (1, 'qtask_1', 'app_1', 1, 'ep_1', 'replay', 'finished', '{}', 1, 4, 4, 1, 1, 5, 6);
INSERT INTO tallies (endpoint_seq, at_ms, event_type, state, attempts, duration_ms, latency_ms, latency_max_ms)
    VALUES (1, 0, 'a.b', 'success', 1, 5, 10, 10);
INSERT INTO users (id, name, role, password_hash, created_at_ms) VALUES ('usr_1', 'owner', 'owner', 'hash', 5);
INSERT INTO setup_links (id, sha256, expires_at_ms) VALUES (1, 'cc', 100);
INSERT INTO sessions (sha256, user_id, created_at_ms, expires_at_ms) VALUES ('dd', 'usr_1', 5, 100);
INSERT INTO drafts (id, app_id, updated_at_ms, sealed_credentials, content) VALUES ('draft_1', 'app_1', 5, x'00', '{}');
