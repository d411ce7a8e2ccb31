-- Replaces a sealed secret by the same one under another key, unless it was changed meanwhile.
UPDATE sources SET sealed_secrets = :content WHERE id = :id AND sealed_secrets = :before;
