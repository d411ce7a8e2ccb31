{message_start}, CASE WHEN :with_body THEN m.body ELSE {no_bytes} END, {message_end}
