-- What was to be sent once more about a person is not: something else was sent since.
DELETE FROM repeats WHERE place = :place AND person = :person
