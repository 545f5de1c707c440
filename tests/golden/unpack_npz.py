#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""unpack_npz.py FILE.npz FOLDER: every array of the file as FOLDER/NAME.npy, no numpy needed."""
import os
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as archive:
    for name in archive.namelist():
        if name != os.path.basename(name) or not name.endswith(".npy"):
            sys.exit(f"{sys.argv[1]}: unexpected member {name!r}")
        archive.extract(name, sys.argv[2])
