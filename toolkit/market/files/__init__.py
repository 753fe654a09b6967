"""Importers of official and recorded files: one module a format, each gives frames of ``market/schema.py``.

Every reader answers one :class:`~toolkit.market.files.reading.Imported`: the frames, and
each row of the file accounted for (kept, or refused with its reason). None writes a file;
``toolkit.store.session`` does. :func:`~toolkit.market.files.detect.read_file` names the
format of a file by its header.
"""
