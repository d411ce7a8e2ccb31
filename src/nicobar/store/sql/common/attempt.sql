-- One attempt, with its message and its endpoint.
SELECT {message_without_body}, e.id, a.id, a.content
FROM attempts AS a JOIN messages AS m ON m.seq = a.message_seq JOIN endpoints AS e ON e.seq = a.endpoint_seq
WHERE a.id = :id
