EXISTS (
        SELECT 1 FROM json_array_elements_text(CAST(m.channels AS json)) AS of_message (channel)
        WHERE of_message.channel = ANY(CAST(:channels AS text[]))
    )
