-- Says whose table it is.
COMMENT ON TABLE migrations IS 'nicobar'
