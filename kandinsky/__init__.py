"""Kandinsky 2.1 in MindSpore: networks, schedulers, tokenizers and checkpoint loading. Knows nothing of servers."""
