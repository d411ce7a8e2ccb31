-- The messages whose delivery for an endpoint has failed, with that delivery.
-- like
attempted_unfinished
-- where
d.state = 'failed'
