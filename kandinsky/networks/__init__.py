"""The networks of Kandinsky 2.1, one a file. Imports run one way: ops ← layers ← blocks ← networks."""
