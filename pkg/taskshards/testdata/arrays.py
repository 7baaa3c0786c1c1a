"""Writes files of tasks as numpy and safetensors do, for TestNumpysOwnFilesAreRead: python3 arrays.py FOLDER.

Exits with 3 where python's safetensors is not there and `arrays.py FOLDER safetensors` asks for it.
"""
import sys

import numpy as np

folder = sys.argv[1]
count = np.arange(24).reshape(8, 3)
floats = count.astype("f4")
targets = np.arange(8, dtype="f4") / 4
labels = np.arange(8) % 3
elements = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f2", ">f4", ">f8", ">i2", ">i8", ">u4"]


def plain(name):
    return name.replace(">", "big-").replace("?", "bool")


if "safetensors" in sys.argv:
    try:
        from safetensors.numpy import save_file
    except ImportError:
        sys.exit(3)
    for d in [d for d in elements if ">" not in d]:
        save_file({"x": count.astype(d), "y": targets}, f"{folder}/x-{plain(d)}.safetensors")
    sys.exit(0)

for how, save in [("stored", np.savez), ("deflated", np.savez_compressed)]:
    for d in elements:
        save(f"{folder}/x-{plain(d)}-{how}.npz", x=count.astype(d), y=targets)
        save(f"{folder}/y-{plain(d)}-{how}.npz", x=floats, y=labels.astype(d))
    save(f"{folder}/x-fortran-{how}.npz", x=np.asfortranarray(floats), y=targets)
    save(f"{folder}/x-strided-{how}.npz", x=np.repeat(floats, 2, axis=1)[:, ::2], y=targets)
    save(f"{folder}/x-transposed-{how}.npz", x=np.ascontiguousarray(floats.T).T, y=targets)
    save(f"{folder}/y-column-{how}.npz", x=floats, y=np.asfortranarray(labels[:, None]))
    save(f"{folder}/y-numbers-{how}.npz", x=floats, y=np.asfortranarray(count))
    save(f"{folder}/images-{how}.npz", x=np.asfortranarray(np.arange(8 * 4 * 5 * 2).reshape(8, 4, 5, 2)), y=labels)
    save(f"{folder}/empty-{how}.npz", support_x=np.zeros((0, 3)), support_y=np.zeros(0), query_x=floats, query_y=targets)

nan = floats.copy()
nan[1, 2] = np.nan
save = np.savez
save(f"{folder}/refused-nan.npz", support_x=floats, support_y=targets, query_x=nan, query_y=targets)
save(f"{folder}/refused-infinite.npz", x=floats, y=np.where(targets == 1, np.inf, targets))
save(f"{folder}/refused-huge.npz", x=floats.astype("f8") * 1e300, y=targets)
save(f"{folder}/refused-unnamed.npz", floats, targets)
save(f"{folder}/refused-object.npz", x=floats, y=np.array([None] * 8, dtype=object))
save(f"{folder}/refused-complex.npz", x=floats.astype("c8"), y=targets)
save(f"{folder}/refused-text.npz", x=floats, y=labels.astype("U3"))
save(f"{folder}/refused-long.npz", x=floats.astype(np.longdouble), y=targets)
save(f"{folder}/refused-date.npz", x=count.astype("M8[s]"), y=targets)
save(f"{folder}/refused-structured.npz", x=np.zeros(8, dtype=[("a", "f4")]), y=targets)
save(f"{folder}/refused-norows.npz", x=floats[:0], y=targets[:0])
save(f"{folder}/refused-nofeatures.npz", x=floats[:, :0], y=targets)
save(f"{folder}/refused-notargets.npz", x=floats, y=floats[:, :0])
save(f"{folder}/refused-noquery.npz", support_x=floats, support_y=targets, query_x=floats[:0], query_y=targets[:0])
save(f"{folder}/refused-scalar.npz", x=np.float32(1), y=targets)
