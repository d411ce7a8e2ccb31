AND ({none event_types} OR m.event_type {any_of event_types}) AND ({none channels} OR {of_channels})
    AND (CAST(:tag AS TEXT) IS NULL OR {of_tag})
