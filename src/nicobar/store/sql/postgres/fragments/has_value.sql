$ ~ :pattern
