-- Replaces a kept answer by the same one under another key, unless it was changed meanwhile.
UPDATE answers SET body = :content WHERE token_id = :token_id AND key = :key AND body = :before;
