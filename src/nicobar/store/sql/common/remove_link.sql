-- Revokes the link of a user.
DELETE FROM links WHERE name = :name
