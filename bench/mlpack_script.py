"""The same with mlpack in place of scikit-learn.

Usage: mlpack_script.py TABLE.csv COMPONENTS OUTPUT.csv

mlpack ends where the log-likelihood of the table gains less than a tolerance, scikit-learn where that of a
row does, so the tolerance here is scikit-learn's for every row. Prints the mean log-likelihood of a row.
"""

import argparse

import numpy as np
import pandas as pd
from mlpack import gmm_probability, gmm_train

TOLERANCE = 1e-3

parser = argparse.ArgumentParser(description="Cluster a table.")
parser.add_argument("table")
parser.add_argument("components", type=int)
parser.add_argument("output")
arguments = parser.parse_args()

table = pd.read_csv(arguments.table).to_numpy()
model = gmm_train(
    gaussians=arguments.components, input_=table, tolerance=TOLERANCE * len(table), max_iterations=100, seed=1
)["output_model"]
log_density = np.log(gmm_probability(input_=table, input_model=model)["output"]).ravel()
pd.DataFrame({"log_density": log_density}).to_csv(arguments.output, index=False)
print(log_density.mean())
