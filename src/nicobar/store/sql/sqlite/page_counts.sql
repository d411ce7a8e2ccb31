-- How many pages the file has, how many of them are unused, and how large one is.
SELECT page_count, freelist_count, page_size FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()
