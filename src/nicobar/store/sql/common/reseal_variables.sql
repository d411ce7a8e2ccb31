-- Replaces a sealed secret by the same one under another key, unless it was changed meanwhile.
UPDATE endpoints SET sealed_variables = :content WHERE id = :id AND sealed_variables = :before;
