-- Masks some values in how the latest alerts to targets ended.
UPDATE alert_results SET content = regexp_replace(content, :pattern, :mask, 'g') WHERE content <> regexp_replace(content, :pattern, :mask, 'g')
