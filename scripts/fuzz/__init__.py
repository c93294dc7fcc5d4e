"""`python -m scripts.fuzz`: mutated and random messages, pictures and tensors to all services of real servers."""
