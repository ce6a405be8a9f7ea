"""What happened: the event log and the proxies that record it."""
