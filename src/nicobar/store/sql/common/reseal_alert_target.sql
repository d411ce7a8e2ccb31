-- Replaces a sealed secret by the same one under another key, unless it was changed meanwhile.
UPDATE alert_targets SET sealed = :content WHERE id = :id AND sealed = :before;
