-- Records when a token was last used.
UPDATE tokens SET last_used_at_ms = :at_ms WHERE id = :id
