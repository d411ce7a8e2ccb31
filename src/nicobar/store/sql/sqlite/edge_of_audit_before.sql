-- Where a look at so many lines of the audit log ends, newest first: the last that is looked at, and the first that is not.
SELECT seq FROM audit WHERE seq > :above AND seq < :below ORDER BY seq DESC LIMIT 2 OFFSET :look - 1
