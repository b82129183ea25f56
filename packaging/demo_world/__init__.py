"""The small drawn world of Limner's demo model: pictures, networks, training and measures."""
