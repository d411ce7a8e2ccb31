-- The key of the hashes of what was erased.
SELECT content FROM erasure_keys WHERE id = 1
