"""A fleet and its push services on one machine. The product never imports it."""
