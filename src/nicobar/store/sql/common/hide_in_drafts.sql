-- Masks some values in drafts of an application.
UPDATE drafts SET content = regexp_replace(content, :pattern, :mask, 'g')
WHERE app_id = :app_id AND content <> regexp_replace(content, :pattern, :mask, 'g')
