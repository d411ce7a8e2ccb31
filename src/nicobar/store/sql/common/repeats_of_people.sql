-- What is to be repeated about some people, or was, and what deliveries of some orders sent.
SELECT person, order_key, sent_at_ms, content FROM repeats
WHERE place = :place AND (person {any_of people} OR order_key {any_of order_keys})
