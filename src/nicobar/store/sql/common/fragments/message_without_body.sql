{message_start}, {no_bytes}, {message_end}
