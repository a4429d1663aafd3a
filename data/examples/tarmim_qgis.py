"""Layers of Tarmim in QGIS: paste into the Python console of QGIS 3.22 or newer, after setting the address.

Without Python: Layer > Add Layer > Add WFS / OGC API - Features Layer > New, with the address that ends in /ogc.
"""

from qgis.core import QgsProject, QgsVectorLayer, QgsVectorTileLayer

server = globals().get("server", "http://127.0.0.1:8000")

for name in ("priorities", "road_works", "facilities"):
    layer = QgsVectorLayer(f"url='{server}/ogc' typename='{name}' pageSize='1000'", name, "OAPIF")
    if not layer.isValid():
        raise RuntimeError(f"{name}: {layer.error().message()}")
    QgsProject.instance().addMapLayer(layer)

tiles = f"{server}/ogc/collections/buildings/tiles/WebMercatorQuad/" + "{z}/{y}/{x}"
QgsProject.instance().addMapLayer(QgsVectorTileLayer(f"type=xyz&url={tiles}&zmin=11&zmax=15", "buildings"))
