-- Rows as a process of version 1 stored them.
INSERT INTO applications (id, uid) VALUES ('app_1', 'default');
INSERT INTO sources (id, app_id, name, kind, token, sealed_secrets, secret_references)
    VALUES ('src_1', 'app_1', 'shop', 'dodo-payments', 'tok', x'00', '[]');
INSERT INTO endpoints (seq, id, app_id, name, connector, settings, sealed_credentials, credential_references, event_types,
    variables, disabled, paused_reason, removed)
    VALUES (1, 'ep_1', 'app_1', 'hook', 'http', '{"url":"https://a.example"}', x'00', '{}', '["a.b"]', '{}', 0, 'asked to', 0),
    (2, 'ep_2', 'app_1', 'gone', 'http', '{}', x'00', '{}', '[]', '{}', 1, NULL, 1);
INSERT INTO transformations (endpoint_seq, version, code, created_at_ms) VALUES (1, 1, 'function handler(w) { return w }', 5);
INSERT INTO event_types (app_id, name, content) VALUES ('app_1', 'a.b', '{"name":"a.b"}');
INSERT INTO tokens (name, sha256, created_at_ms, revoked_at_ms) VALUES ('ci', 'aa', 5, NULL), ('old', 'bb', 5, 6);
INSERT INTO messages (seq, id, app_id, source_id, event_id, event_type, customer_key, occurred_at_ms, accepted_at_ms, body)
    VALUES (1, 'msg_1', 'app_1', 'src_1', 'evt_1', 'a.b', 'cus_1', 5, 10, x'7b7d'),
    (2, 'msg_2', 'app_1', 'src_1', 'evt_2', 'a.b', 'cus_1', 5, 11, x'7b7d'),
    (3, 'msg_3', 'app_1', 'src_1', 'evt_3', 'a.b', 'cus_2', 5, 12, x'7b7d'),
    (4, 'msg_4', 'app_1', 'src_1', 'evt_4', 'a.b', 'cus_2', 5, 13, x'7b7d');
INSERT INTO deliveries (message_seq, endpoint_seq, state, tries, lease, due_at_ms, customer_key, reason)
    VALUES (1, 1, 'success', 1, 1, NULL, 'cus_1', NULL), (2, 1, 'failed', 1, 1, NULL, 'cus_1', 'HTTP 404'),
    (3, 1, 'pending', 1, 1, 20, 'cus_2', NULL), (4, 1, 'pending', 0, 0, NULL, 'cus_2', NULL);
INSERT INTO attempts (id, message_seq, endpoint_seq, content) VALUES ('atmpt_1', 1, 1, x'88a26964a761746d70745f31ad737461727465645f61745f6d7314ab6475726174696f6e5f6d7305a57374617465a773756363657373a6726561736f6ea86163636570746564b67472616e73666f726d6174696f6e5f76657273696f6e01a6737461747573ccc8a8726573706f6e7365a27b7d'),
    ('atmpt_2', 2, 1, x'88a26964a761746d70745f32ad737461727465645f61745f6d7314ab6475726174696f6e5f6d7305a57374617465a66661696c6564a6726561736f6ea3343034b67472616e73666f726d6174696f6e5f76657273696f6e01a6737461747573cd0194a8726573706f6e7365a27b7d');
