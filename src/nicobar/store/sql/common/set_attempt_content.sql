-- Replaces an attempt as it is stored.
UPDATE attempts SET content = :content WHERE id = :id
