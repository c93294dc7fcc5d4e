"""Checkpoints in the Hugging Face layout: where they are, what they say, and their weights in a network."""

from kandinsky.checkpoint.component import Component, open_component, open_settings
from kandinsky.checkpoint.digest import digest
from kandinsky.checkpoint.location import locate
from kandinsky.checkpoint.weights import load_weights

__all__ = ["Component", "digest", "load_weights", "locate", "open_component", "open_settings"]
