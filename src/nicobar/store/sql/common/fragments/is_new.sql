d.state = 'pending' AND d.tries = 0 AND d.reason IS NULL AND NOT d.manual
