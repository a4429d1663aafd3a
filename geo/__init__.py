"""The science of Tarmim: read, validate, harmonise, measure, score, rank, export.

`geo` knows nothing of HTTP, folium, settings or the clock. Start at `geo.pipeline`, the road written out.
"""
