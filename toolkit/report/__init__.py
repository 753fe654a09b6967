"""Frames to one self-contained page.

``fmt`` writes a value for people, ``theme`` holds the colours, ``charts`` turns frames
into Bokeh figures, ``page`` puts them into one file, ``day`` and ``oi`` compose pages.
"""
