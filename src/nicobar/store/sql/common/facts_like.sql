-- The facts whose keys begin with one of these texts; each is one part of the index.
SELECT f.key, f.customer_key, f.parent_key, f.occurred_at_ms, f.content, f.email
FROM {each prefixes} AS p {then_join} facts AS f ON f.app_id = :app_id AND f.key >= p.value AND f.key < p.value || CAST(:last AS text)
ORDER BY f.key LIMIT :limit
