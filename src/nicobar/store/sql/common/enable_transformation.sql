-- Switches an endpoint's transformation on or off.
UPDATE endpoints SET transformation_enabled = :enabled WHERE id = :id AND NOT removed RETURNING seq
