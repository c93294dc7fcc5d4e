"""Schedulers as data: a schedule is a table with one row of coefficients a step, and one function advances any row.

Import `decoder_schedule` and `prior_schedule` to plan, `advance` to step. The caller owns the loop.
"""
