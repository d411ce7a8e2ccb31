-- What no query asks for of an endpoint that is not removed.
SELECT content FROM endpoints WHERE id = :id AND NOT removed
