-- Where the index of message ids leads.
SELECT seq FROM messages WHERE id = :id
