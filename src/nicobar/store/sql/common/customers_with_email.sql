-- The customers whose address begins with a text, by address.
SELECT key, customer_key, parent_key, occurred_at_ms, content, email FROM {facts_in_order_of_email}
    AND email >= :prefix AND email < :prefix_end ORDER BY email LIMIT :limit
