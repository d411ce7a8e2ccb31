-- Pauses an endpoint or resumes it.
UPDATE endpoints SET paused_reason = :reason, content = :content WHERE id = :id AND NOT removed
