-- Adds rows.
COPY {table} ({columns}) FROM STDIN
