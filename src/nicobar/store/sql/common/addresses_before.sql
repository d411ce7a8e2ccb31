-- The address in the latest earlier message of the same customer that has one, of each of some messages.
SELECT m.seq, (
    SELECT b.customer_email FROM messages AS b
    WHERE b.app_id = m.app_id AND b.customer_key = m.customer_key AND b.seq < m.seq AND b.customer_email <> ''
        AND b.seq >= coalesce((
            SELECT seq FROM messages WHERE app_id = m.app_id AND customer_key = m.customer_key AND seq < m.seq
            ORDER BY seq DESC LIMIT 1 OFFSET :look
        ), 0)
    ORDER BY b.seq DESC LIMIT 1
)
FROM messages AS m WHERE m.seq {any_number_of seqs}
