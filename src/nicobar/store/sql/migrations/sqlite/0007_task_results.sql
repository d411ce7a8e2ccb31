-- What a task found, as JSON; null for one whose counts say it.
ALTER TABLE tasks ADD COLUMN result TEXT;
