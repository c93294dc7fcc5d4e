"""Routing by queued work, measured: simulated decoders in processes of their own behind the real gateway."""
