-- Merges a fact with a stored one of the same customer, payment and address, most often: no index is written. Where both say
-- the same, no function is called, for which the thread would have to wait for the others.
UPDATE facts SET occurred_at_ms = max(occurred_at_ms, :occurred_at_ms), content = CASE
    WHEN instr(content, '":{') > 0 AND substr(content, instr(content, '":{')) = substr(:content, instr(:content, '":{'))
        THEN max(content, :content)
    ELSE merge_facts(content, :content)
END
WHERE app_id = :app_id AND key = :key AND customer_key IS :customer_key AND parent_key IS :parent_key AND email IS :email
