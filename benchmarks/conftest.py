"""Collect ``test_suites.py`` alone: the other files are asv's, or scripts."""

collect_ignore_glob = ["benchmarks/*", "peers/*", "gpu_*"]
