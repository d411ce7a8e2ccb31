-- Tokens of the dashboard that are limited to one application, and transformations that are switched off.

-- portal: 1 for a token that a link to the dashboard carries; session_id: what its maker knows it by.
ALTER TABLE tokens ADD COLUMN portal INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN session_id TEXT;

ALTER TABLE endpoints ADD COLUMN transformation_enabled INTEGER NOT NULL DEFAULT 1;
