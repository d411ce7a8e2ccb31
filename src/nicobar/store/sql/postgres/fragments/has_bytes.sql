encode($, 'escape') ~ :bytes_pattern
