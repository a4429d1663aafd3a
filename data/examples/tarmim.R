# Lists and features with R: install.packages(c("sf", "readr")). Usage: Rscript tarmim.R http://127.0.0.1:8000
library(sf)

arguments <- commandArgs(trailingOnly = TRUE)
server <- if (length(arguments) > 0) arguments[1] else "http://127.0.0.1:8000"

# the ranked list; an empty cell is unknown, never zero
list <- readr::read_csv(paste0(server, "/priorities?format=csv"), show_col_types = FALSE)
print(head(list[order(list$rank), c("rank", "name_en", "score")], 3))

# a whole layer, in the study's own CRS
facilities <- st_read(paste0("OAPIF:", server, "/ogc"), layer = "facilities", quiet = TRUE)
print(table(facilities$kind))
