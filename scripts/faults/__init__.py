"""What becomes of requests when servers are killed, held, restarted and overloaded: real processes and pictures."""
