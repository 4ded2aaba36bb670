"""The names of the metrics. Imports nothing, because `--help` lists them."""

METRICS = (
    "rows",
    "total_weight",
    "log_likelihood",
    "mean_log_likelihood",
    "distance_sum",
    "aic",
    "bic",
    "icl",
    "entropy",
)
LABEL_METRICS = ("adjusted_rand_index", "normalized_mutual_information", "accuracy")
