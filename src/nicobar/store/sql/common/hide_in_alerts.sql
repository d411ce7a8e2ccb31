-- Masks some values in what was said of the latest alerts, which are about all applications.
UPDATE taken_alerts SET content = regexp_replace(content, :pattern, :mask, 'g') WHERE content <> regexp_replace(content, :pattern, :mask, 'g')
