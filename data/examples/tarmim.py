"""Lists and features with geopandas. Usage: python tarmim.py http://127.0.0.1:8000."""

import sys

import geopandas as gpd
import pandas as pd

server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"

# the ranked list, with shapes; unknown stays unknown (NaN)
ranked = gpd.read_file(f"{server}/priorities?format=geojson")
print(ranked[["rank", "name_en", "score"]].head(3).to_string(index=False))

# the same as a table, with every column
table = pd.read_csv(f"{server}/priorities?format=csv")
print(len(table), "neighbourhoods,", int(table["score"].isna().sum()), "not assessable")

# a whole layer, through GDAL's driver for OGC API - Features, in the study's own CRS
hospitals = gpd.read_file(f"OAPIF:{server}/ogc", layer="facilities")
print(hospitals.crs.to_string(), (hospitals["kind"] == "hospital").sum(), "hospitals")

# only what is asked for: a condition in CQL2 text
condition = "score >= 50 AND coverage = 1"
urgent = gpd.read_file(f"{server}/ogc/collections/priorities/items?limit=1000&filter={condition.replace(' ', '%20')}")
print(len(urgent), "with a score of 50 or more")
