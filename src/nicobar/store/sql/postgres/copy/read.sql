-- The next rows of a range of keys, with how many there are up to the limit. What they hold together is bounded; the first
-- always fits.
SELECT {columns}, page_rows FROM (
    SELECT {columns}, octets, sum(octets) OVER (ORDER BY {key}) AS octets_so_far, count(*) OVER () AS page_rows
    FROM (SELECT {columns}, {octets} AS octets FROM {table} WHERE {range} ORDER BY {key} LIMIT :limit) AS page
) AS page
WHERE octets_so_far - octets < :max_bytes ORDER BY {key}
