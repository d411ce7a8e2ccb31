encode({column}, 'escape') ~ :bytes_pattern
