"""The world the demo checkpoint knows: captioned shapes and landscapes. NumPy and Pillow only."""
