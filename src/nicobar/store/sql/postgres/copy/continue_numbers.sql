-- The sequence continues after this number.
SELECT setval(CAST(:sequence AS regclass), greatest(:number, 1), :number > 0)
