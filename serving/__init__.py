"""What the three servers share: flags, errors, the frame around every call, start and stop. Knows nothing of models."""
