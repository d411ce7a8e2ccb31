-- All breakers that were kept.
SELECT endpoint_seq, content FROM breakers
