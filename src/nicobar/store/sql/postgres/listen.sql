-- Asks for the hints of other processes, until the connection ends.
LISTEN nicobar
