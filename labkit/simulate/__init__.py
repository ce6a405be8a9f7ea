"""Workloads and trace readers that the simulations run on."""
