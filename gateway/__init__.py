"""The server clients talk to: it sends prompts to a prior, pictures to a decoder, and knows nothing of models."""
