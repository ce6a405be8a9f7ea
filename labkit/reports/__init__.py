"""A report on a workload of your own, as one page that can be handed to somebody: `labkit report`."""
