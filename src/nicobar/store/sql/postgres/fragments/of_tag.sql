EXISTS (
        SELECT 1 FROM json_array_elements_text(CAST(m.tags AS json)) AS of_message (tag) WHERE of_message.tag = :tag
    )
