-- Tells every process that listens; the payload names endpoints.
SELECT pg_notify('nicobar', CAST(:endpoint_seqs AS text))
