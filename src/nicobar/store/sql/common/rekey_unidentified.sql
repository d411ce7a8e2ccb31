-- The deliveries of a source's messages that wait for facts wait for those of another kind or mode, and are looked at again.
UPDATE unidentified SET key = :now || substr(key, length(:was) + 1), news = news + 1
WHERE app_id = :app_id AND substr(key, 1, length(:was)) = :was
    AND (SELECT m.source_id FROM messages AS m WHERE m.seq = unidentified.message_seq) = :source_id
