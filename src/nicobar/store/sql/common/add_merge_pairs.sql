-- Adds a pair of people to a merge.
INSERT INTO merge_pairs (merge_seq, number, customer_key, secondary_kind, secondary_value, primary_kind, primary_value,
    state, changed_at_ms, reason)
VALUES (:merge_seq, :number, :customer_key, :secondary_kind, :secondary_value, :primary_kind, :primary_value, :state,
    :changed_at_ms, :reason)
