"""asv suites: time, peak memory and quality against the size of the coreset."""
