-- Nothing of before is repeated.
DELETE FROM repeats
