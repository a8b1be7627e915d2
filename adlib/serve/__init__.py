"""On the line: what judges images as they come, and keeps what was judged."""
