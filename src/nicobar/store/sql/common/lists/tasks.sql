-- The background tasks of some applications.
-- columns
{task}
-- from
tasks
-- where
app_id {any_of app_ids}
-- place
seq
