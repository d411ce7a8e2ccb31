-- Adds an endpoint, or replaces the one with its id, its transformations untouched and its pause too, unless that ends.
INSERT INTO endpoints (id, app_id, name, connector, settings, sealed_credentials, credential_references,
    event_types, variables, disabled, max_messages_per_s, sealed_headers, uid, content, retry_after_ms,
    sealed_variables, variable_references, public_headers, mode, business_ids, brand_ids)
VALUES (:id, :app_id, :name, :connector, :settings, :sealed_credentials, :credential_references,
    :event_types, :variables, :disabled, :max_messages_per_s, :sealed_headers, :uid, :content, :retry_after_ms,
    :sealed_variables, :variable_references, :public_headers, :mode, :business_ids, :brand_ids)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, connector = excluded.connector, settings = excluded.settings,
    sealed_credentials = excluded.sealed_credentials, credential_references = excluded.credential_references,
    event_types = excluded.event_types, variables = excluded.variables, disabled = excluded.disabled,
    max_messages_per_s = excluded.max_messages_per_s, sealed_headers = excluded.sealed_headers, uid = excluded.uid,
    content = excluded.content, retry_after_ms = excluded.retry_after_ms,
    sealed_variables = excluded.sealed_variables, variable_references = excluded.variable_references,
    public_headers = excluded.public_headers, mode = excluded.mode, business_ids = excluded.business_ids,
    brand_ids = excluded.brand_ids,
    paused_reason = CASE WHEN NOT :resumed THEN endpoints.paused_reason END,
    disabled_reason = CASE WHEN excluded.disabled THEN endpoints.disabled_reason END
