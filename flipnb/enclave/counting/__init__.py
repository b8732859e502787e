"""Counts of cohorts: what they may tell, what they cost, and when they answer."""
