-- Masks some values in the audit log of an application.
UPDATE audit SET detail = regexp_replace(detail, :pattern, :mask, 'g'), subject = regexp_replace(subject, :pattern, :mask, 'g')
WHERE app_id = :app_id AND (detail <> regexp_replace(detail, :pattern, :mask, 'g') OR subject <> regexp_replace(subject, :pattern, :mask, 'g'))
