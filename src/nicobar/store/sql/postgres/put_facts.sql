-- Merges facts with what is stored, in the order of their keys, so that no two transactions wait for each other.
{put_facts}
