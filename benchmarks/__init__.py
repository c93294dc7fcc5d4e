"""Measurements. Each prints a table and ends with one line `RESULT name key=value …`."""
