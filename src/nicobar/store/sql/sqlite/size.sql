-- How many bytes the database takes, what is free in it included.
SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()
