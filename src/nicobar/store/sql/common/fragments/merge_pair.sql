number, customer_key, secondary_kind, secondary_value, primary_kind, primary_value, state, changed_at_ms, reason
