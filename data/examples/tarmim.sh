#!/bin/sh
# Lists and features with curl. Usage: sh tarmim.sh http://127.0.0.1:8000
set -eu
server="${1:-http://127.0.0.1:8000}"

# the list of the water directorate, as a workbook that opens in Arabic
curl --fail --silent --show-error --output water.xlsx "$server/priorities?format=xlsx&sector=water&lang=ar"

# the first five as CSV, without a byte-order mark, for other programs
curl --fail --silent --show-error "$server/priorities?format=csv&top=5&bom=false" --output first.csv

# again, only if it has changed since: the second time nothing is sent
curl --fail --silent --show-error --etag-save list.etag --output list.json "$server/priorities"
curl --fail --silent --show-error --etag-compare list.etag --write-out '%{http_code}\n' --output list.new "$server/priorities"

# destroyed water pipes within a box, as GeoJSON
curl --fail --silent --show-error --get "$server/ogc/collections/water/items" \
  --data-urlencode "bbox=36.68,34.70,36.74,34.76" --data-urlencode "state=destroyed" --data-urlencode "limit=1000" --output pipes.geojson
