-- Switches an endpoint's transformation on or off.
UPDATE endpoints SET transformation_enabled = :enabled WHERE id = :id AND removed = 0 RETURNING seq
