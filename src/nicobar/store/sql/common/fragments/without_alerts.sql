AND (:alerts OR m.source_id <> 'operational')
