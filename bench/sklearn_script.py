"""What an analyst would write: cluster a table with pandas and scikit-learn, keep what was found.

Usage: sklearn_script.py TABLE.csv COMPONENTS OUTPUT.csv

Prints the mean log-likelihood of a row.
"""

import argparse

import pandas as pd
from sklearn.mixture import GaussianMixture

parser = argparse.ArgumentParser(description="Cluster a table.")
parser.add_argument("table")
parser.add_argument("components", type=int)
parser.add_argument("output")
arguments = parser.parse_args()

table = pd.read_csv(arguments.table)
model = GaussianMixture(n_components=arguments.components, random_state=0).fit(table)
probabilities = model.predict_proba(table)
log_density = model.score_samples(table)
found = pd.DataFrame(
    {
        "assignment": model.predict(table),
        "probability": probabilities.max(axis=1),
        "log_density": log_density,
    }
)
found.to_csv(arguments.output, index=False)
print(log_density.mean())
