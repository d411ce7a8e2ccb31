-- Deliveries that wait for an identity no longer; those of a replay, which may be canceled, still do.
DELETE FROM unidentified WHERE endpoint_seq = :endpoint_seq AND message_seq {any_number_of message_seqs} AND NOT EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.message_seq = unidentified.message_seq AND d.endpoint_seq = :endpoint_seq AND d.was IS NOT NULL
)
