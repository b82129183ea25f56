"""The window. PySide6 only: torch and everything that stands on it stay in the worker."""
