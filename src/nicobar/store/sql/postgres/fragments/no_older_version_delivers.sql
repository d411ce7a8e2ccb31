
    AND NOT EXISTS (
        {older_version_delivers}
    )
