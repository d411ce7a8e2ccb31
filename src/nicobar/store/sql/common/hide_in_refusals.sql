-- Masks some values in rejected requests of an application.
UPDATE refusals SET detail = regexp_replace(detail, :pattern, :mask, 'g'), event_id = regexp_replace(event_id, :pattern, :mask, 'g')
WHERE source_id IN (SELECT id FROM sources WHERE app_id = :app_id)
    AND (detail <> regexp_replace(detail, :pattern, :mask, 'g') OR event_id <> regexp_replace(event_id, :pattern, :mask, 'g'))
