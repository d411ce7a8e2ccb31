-- The process of the server that answers; another one than the connection was told where a pooler stands between.
SELECT pg_backend_pid()
