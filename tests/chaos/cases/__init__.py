"""One file for each fault; its `CASE` is found by itself."""
