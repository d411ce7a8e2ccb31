split_part(key, '/', 1) || '/' || split_part(key, '/', 2) || '/customer/' || customer_key
