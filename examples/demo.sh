#!/bin/sh
# A tour of gmmcli on the eruptions of Old Faithful. Usage: demo.sh DIRECTORY, with gmmcli on the PATH.
set -eu
table=$(cd "$(dirname "$0")" && pwd)/faithful.csv
mkdir -p "$1" && cd "$1"
rm -rf geyser faithful.csv clusters.csv geyser.json
cp "$table" .

show() {
    printf '\n$ %s\n' "$1"
    sh -c "$1"
}

echo "272 eruptions of the geyser Old Faithful: how long each took, and the wait for the next, in minutes."
show 'head -4 faithful.csv'
show 'gmmcli fit --model-dir geyser --components 2 faithful.csv'
show 'gmmcli inspect --model-dir geyser'
show 'gmmcli predict --model-dir geyser --pass all --output clusters.csv faithful.csv'
show 'head -4 clusters.csv'
show 'gmmcli score --model-dir geyser faithful.csv'
show 'gmmcli export --model-dir geyser --output geyser.json'
printf '\nThe model, the clusters and the export are in %s.\n' "$PWD"
echo "Where to go from here: README.md, 'gmmcli --help', 'man man/gmmcli.1'."
