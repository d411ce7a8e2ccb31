-- The data is not moving any more.
DELETE FROM moves
