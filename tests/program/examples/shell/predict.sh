#!/bin/sh
# A defect makes an image harder to compress: its score is its size against twice the mean of training.
set -e
mkdir "$3/maps"
cp "$1/score" ./score
chmod +x ./score
echo id,score > "$3/scores.csv"
for image in "$2"/*.png; do
    id=$(basename "$image" .png)
    echo "$id,$(./score "$image" "$3/maps/$id.npy" "$(cat "$1/mean.txt")")" >> "$3/scores.csv"
done
