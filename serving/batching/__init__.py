"""Which work a device does next: pure functions over a table of rows. Knows no clock, no I/O and no model.

The owner of a device holds a `Table`, a `Curve` and `Limits`, asks `plan` for the next action, runs it, and commits it:

    batch = plan(table, curve, limits, now_seconds)
    ...                                          # run batch.rows together, padded to batch.size; took so many seconds
    curve = curve.measured(batch.kind.stage, batch.kind.shape, batch.evaluations, seconds)
    table = table.advance(batch, seconds)        # rows of requests that were removed meanwhile stay removed
"""
