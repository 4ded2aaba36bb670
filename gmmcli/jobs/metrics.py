"""The names of what score measures. Imports nothing, so that the command line may list them."""

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
