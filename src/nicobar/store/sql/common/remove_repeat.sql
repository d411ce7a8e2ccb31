-- What was to be repeated about a person is not: something else was sent since.
DELETE FROM repeats WHERE place = :place AND person = :person
