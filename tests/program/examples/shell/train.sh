#!/bin/sh
# Compiles the program that scores, and notes the mean size of the compressed training images.
set -e
cc -O1 -o "$2/score" score.c
find "$1/train/images" -name '*.png' -size +0 -exec wc -c {} + | awk '$2 != "total" { sum += $1; n++ } END { print sum / n }' > "$2/mean.txt"
