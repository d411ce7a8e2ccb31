-- Holds some messages until the transaction ends, so that no replay puts one of them into the queue meanwhile.
SELECT seq FROM messages WHERE seq {any_number_of seqs} ORDER BY seq {for_update}
