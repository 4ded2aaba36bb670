"""How covariances are kept and evaluated: one structure per file. numpy only: predict imports it."""
