"""Segments: users found together by what they do and like, named by a model from what sets them apart."""
