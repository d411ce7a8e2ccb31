-- Merges a fact with a stored one that says the same of the same customer, payment and address: the later place is that of all
-- of it. No index is written, and no function is called, for which the thread would have to wait for the others.
UPDATE facts SET occurred_at_ms = max(occurred_at_ms, :occurred_at_ms), content = max(content, :content)
WHERE app_id = :app_id AND key = :key AND instr(content, '":{') > 0
    AND substr(content, instr(content, '":{')) = substr(:content, instr(:content, '":{'))
    AND customer_key IS :customer_key AND parent_key IS :parent_key AND email IS :email
