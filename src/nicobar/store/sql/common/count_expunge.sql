-- How many messages of an application have a payload, and how many of their deliveries are unfinished.
SELECT (
    SELECT count(*) FROM messages
    WHERE app_id = :app_id AND expunged_at_ms IS NULL AND source_id <> 'operational'
), (
    SELECT count(*)
    FROM endpoints AS e {then_join} deliveries AS d ON d.endpoint_seq = e.seq AND d.state IN ('pending', 'sending')
        {then_join} messages AS m ON m.seq = d.message_seq
    WHERE e.app_id = :app_id AND m.app_id = :app_id AND m.expunged_at_ms IS NULL AND m.source_id <> 'operational'
)
