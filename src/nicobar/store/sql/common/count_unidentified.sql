-- How many deliveries of an application's endpoints ended without an identity, up to a bound for each endpoint.
SELECT e.id, (
    SELECT count(*) FROM (
        SELECT DISTINCT u.message_seq FROM unidentified AS u
            {then_join} deliveries AS d ON d.message_seq = u.message_seq AND d.endpoint_seq = u.endpoint_seq
        WHERE u.endpoint_seq = e.seq AND {without_identity} LIMIT :limit
    ) AS f
) AS count
FROM endpoints AS e WHERE e.app_id = :app_id AND NOT e.removed
