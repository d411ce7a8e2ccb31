-- Masks some values in the reasons for which endpoints are paused or disabled of an application.
UPDATE endpoints SET paused_reason = regexp_replace(paused_reason, :pattern, :mask, 'g'),
    disabled_reason = regexp_replace(disabled_reason, :pattern, :mask, 'g')
WHERE app_id = :app_id AND (paused_reason <> regexp_replace(paused_reason, :pattern, :mask, 'g')
    OR disabled_reason <> regexp_replace(disabled_reason, :pattern, :mask, 'g'))
