CASE WHEN n.is_called THEN n.last_value ELSE n.last_value - 1 END
