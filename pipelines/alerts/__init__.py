"""Alerts on what a published version shows: found once, told once to every channel, and again only if they come back."""
