-- Which people were merged into others at an endpoint.
SELECT DISTINCT p.secondary_value FROM merge_pairs AS p JOIN merges AS m ON m.seq = p.merge_seq
WHERE p.secondary_value {any_of identifiers} AND p.state = 'merged' AND m.endpoint_seq = :endpoint_seq
