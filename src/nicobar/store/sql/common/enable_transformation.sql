-- Enables or disables an endpoint's transformation.
UPDATE endpoints SET transformation_enabled = :enabled WHERE id = :id AND NOT removed RETURNING seq
