-- Nothing of before is sent once more.
DELETE FROM repeats
