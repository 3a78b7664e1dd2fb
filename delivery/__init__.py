"""Everything that happens to one message, from the order to the device's ack."""
