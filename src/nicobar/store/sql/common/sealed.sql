-- Every stored secret with what it was sealed for.
SELECT id, sealed_secrets FROM sources WHERE length(sealed_secrets) > 0
UNION ALL
SELECT id, sealed_credentials FROM endpoints WHERE length(sealed_credentials) > 0
UNION ALL
SELECT id || '/headers', sealed_headers FROM endpoints WHERE length(sealed_headers) > 0
UNION ALL
SELECT id, sealed_credentials FROM drafts WHERE length(sealed_credentials) > 0;
