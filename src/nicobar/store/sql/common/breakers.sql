-- All stored breakers.
SELECT endpoint_seq, content FROM breakers
