"""Requests and, later in the course, admission, preemption and the scheduler."""
