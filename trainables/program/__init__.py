"""Methods without Python: any training program, described by a YAML file (``trainable: ./my_unet.yaml``).

::

    method: my_unet
    files: [train.py, predict.py]
    train: "{python} train.py --data {data} --out {out} --seed {seed} {settings}"
    predict: "{python} predict.py --model {out}/best.pt --images {images} --out {answers}"

The program is run as it is, in a fresh folder, without a shell. It reads images, masks and a table from a
folder, and writes scores and maps into another one (docs/own-program.md). Nothing here knows the platform.

- ``spec.py``: what the YAML file may say, and what its commands become.
- ``exchange.py``: the folders that go to the program and come back.
- ``process.py``: a program that runs, and how it ends.
- ``method.py``: the :class:`~trainables.contract.Trainable`; ``training.py``: its ``fit`` and predictor.
"""
