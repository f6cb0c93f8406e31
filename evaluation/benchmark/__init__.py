"""`mmbert evaluate`: `catalogue/` of tasks, `sweep` over settings and seeds, `runner`, records and report."""
