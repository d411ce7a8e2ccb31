-- Masks some values in the filters and results of tasks of an application.
UPDATE tasks SET filter = regexp_replace(filter, :pattern, :mask, 'g'), result = regexp_replace(result, :pattern, :mask, 'g')
WHERE app_id = :app_id AND (filter <> regexp_replace(filter, :pattern, :mask, 'g') OR result <> regexp_replace(result, :pattern, :mask, 'g'))
