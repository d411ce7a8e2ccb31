{message_start}, m.body, {message_end}
