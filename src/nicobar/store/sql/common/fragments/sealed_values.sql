SELECT id AS purpose, sealed_secrets AS content, 'source' AS place, id FROM sources WHERE length(sealed_secrets) > 0
UNION ALL
SELECT id, sealed_credentials, 'credentials', id FROM endpoints WHERE length(sealed_credentials) > 0
UNION ALL
SELECT id || '/headers', sealed_headers, 'headers', id FROM endpoints WHERE length(sealed_headers) > 0
UNION ALL
SELECT id || '/variables', sealed_variables, 'variables', id FROM endpoints WHERE length(sealed_variables) > 0
UNION ALL
SELECT id, sealed_credentials, 'draft', id FROM drafts WHERE length(sealed_credentials) > 0
UNION ALL
SELECT id, sealed, 'alert_target', id FROM alert_targets WHERE length(sealed) > 0
