-- Signs somebody out everywhere: with a new password the old sessions end.
DELETE FROM sessions WHERE user_id = :user_id
