"""What crosses a boundary between two zones, one module per noun.

Every document is a frozen pydantic model with closed fields. Nothing here imports another room.
"""
