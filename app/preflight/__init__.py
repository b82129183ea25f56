"""The panel that is looked at before training: what Train would do, and what stands against it."""
