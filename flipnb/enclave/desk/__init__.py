"""The data controllers' side of an agent."""
