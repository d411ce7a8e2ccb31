-- Lets statements wait no longer than this for a lock, until the transaction ends.
SELECT set_config('lock_timeout', :lock_ms, TRUE)
