"""Kandinsky 2.1 in its full size, with random weights: written, loaded and run for one step, with time and memory.

`python -m scripts.full_size` (`make full-size`); docs/full-size.md has the figures and what they were measured on.
"""
