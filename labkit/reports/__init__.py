"""Pages that can be handed to somebody: `labkit report` on a workload of your own, and the certificate."""
