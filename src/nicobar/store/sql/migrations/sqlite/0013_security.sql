-- Who may do what, and what is kept of it.
-- Oldest version that may run on it: 11

