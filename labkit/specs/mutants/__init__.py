"""Wrong implementations that a check must reject and right ones that it must accept."""
