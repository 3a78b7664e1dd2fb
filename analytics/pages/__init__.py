"""Step 10: what technicians see of the numbers. One file per page, one per panel; each figure links to its messages."""
