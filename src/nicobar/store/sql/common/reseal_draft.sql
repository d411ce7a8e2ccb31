-- Replaces a sealed secret by the same one under another key, unless it was changed meanwhile.
UPDATE drafts SET sealed_credentials = :content WHERE id = :id AND sealed_credentials = :before;
