-- How many deliveries are being sent. One whose lease has ended is not: its worker is gone.
SELECT count(*) FROM deliveries WHERE due_at_ms > :now_ms AND state = 'sending'
