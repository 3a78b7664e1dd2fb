"""The pages, through the test client: what they show, and where their figures lead."""
