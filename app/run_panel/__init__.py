"""The right side of the window: what a run is doing, what it drew, and the runs before it."""
