-- Marks the table as ours.
COMMENT ON TABLE migrations IS 'nicobar'
