"""Networks side by side with torch and diffusers: the same weights, the same inputs, the same machine."""
