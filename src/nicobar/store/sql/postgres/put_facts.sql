-- Merges facts with what is stored, in the order of their keys, so that no two transactions wait for each other. What waits for
-- one of them to be identified is looked at again.
WITH told AS (
    {tell_unidentified}
)
{put_facts}
