"""Generates what the chart derives from its values.yaml and from operations/."""
