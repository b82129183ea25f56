"""Widgets that forms and tabs are made from."""
