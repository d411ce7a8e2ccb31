d.state = 'canceled' AND d.reason LIKE '%"no_identity"%'
