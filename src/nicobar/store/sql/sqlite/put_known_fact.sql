-- Merges a fact with a stored one of the same customer, payment and address, most often: no index is written.
UPDATE facts SET content = merge_facts(content, :content), occurred_at_ms = max(occurred_at_ms, :occurred_at_ms)
WHERE app_id = :app_id AND key = :key AND customer_key IS :customer_key AND parent_key IS :parent_key AND email IS :email
