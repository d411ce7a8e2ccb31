-- Statistics for the planner, which has none about copied rows until autovacuum has looked at them.
ANALYZE {table}
