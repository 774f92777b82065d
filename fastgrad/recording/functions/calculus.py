"""Integrals and slopes of sampled functions."""
