"""The rooms inside a concept: its pictures with their captions, and what training makes of them."""
