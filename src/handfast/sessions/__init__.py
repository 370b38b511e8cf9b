"""What outlives a connection so that the next one can be shorter: tickets, their keys and stores, replay protection."""
