substr(key, 1, instr(key, '/') + instr(substr(key, instr(key, '/') + 1), '/')) || 'customer/' || customer_key
