-- The messages whose delivery for an endpoint was made with warnings, with that delivery.
-- like
attempted_unfinished
-- where
d.warned AND d.state = 'success'
