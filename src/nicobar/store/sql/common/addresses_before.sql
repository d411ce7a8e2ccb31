-- The address in the latest earlier message of the same customer that has one, of each of some messages.
SELECT m.seq, (
    SELECT b.customer_email FROM (
        SELECT seq, customer_email FROM messages
        WHERE app_id = m.app_id AND customer_key = m.customer_key AND seq < m.seq ORDER BY seq DESC LIMIT :look
    ) AS b WHERE b.customer_email <> '' ORDER BY b.seq DESC LIMIT 1
)
FROM messages AS m WHERE m.seq {any_of seqs}
