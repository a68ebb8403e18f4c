"""Tests of the gate, a package as all of assay is: found by that name from wherever they run."""
