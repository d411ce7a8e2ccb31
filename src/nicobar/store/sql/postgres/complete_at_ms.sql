-- Up to when all attempts that ended are stored, by the database's clock. A process stores an attempt within seconds, under
-- an id with the time of its own clock.
SELECT {now_ms} - 60000
