-- Ends a refusal.
DROP TRIGGER IF EXISTS {trigger}
