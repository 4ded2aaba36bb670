"""One tile of rows in; log densities, responsibilities and sums out. numpy only: predict imports it."""
