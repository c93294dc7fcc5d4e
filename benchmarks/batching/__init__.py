"""Scheduling: the planner against what model servers usually do."""
