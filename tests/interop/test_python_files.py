#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""autoencoder_model.h5, scaler.pkl and threshold.npy, opened by the programs they are for: Keras,
scikit-learn, joblib, NumPy, h5py. What these compute of a run's clips are the run's scores."""

import os
import pickle
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packages  # noqa: E402

packages.enter()

import h5py  # noqa: E402
import joblib  # noqa: E402
import keras  # noqa: E402
import numpy  # noqa: E402
import sklearn  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import TINY, auscult, check, main, make_data, read_csv  # noqa: E402

TOLERANCE = 1e-5  # relative
FRAMES, MELS, CLIP_FRAMES = 5, 128, 40


def make_log_mels(root, machines=("fan", "pump"), train=8, test=4, mels=MELS):
    """Log-mels as clips: what is tested here begins behind them. One band of fan's is constant."""
    random = numpy.random.default_rng(7)
    for machine in machines:
        for split, count in (("train", train), ("test", test)):
            os.makedirs(f"{root}/{machine}/{split}")
            for i in range(count):
                clip = random.normal(-30, 8, (CLIP_FRAMES, mels)).astype(numpy.float32)
                clip[:, 3] = -100
                kind = "anomaly" if split == "test" and i % 2 else "normal"
                name = f"section_00_source_{split}_{kind}_{i:04}.npy"
                numpy.save(f"{root}/{machine}/{split}/{name}", clip)
    return root


def vectors_of(path, frames=FRAMES):
    clip = numpy.load(path)
    return numpy.stack([clip[i:i + frames].ravel() for i in range(len(clip) - frames + 1)])


def load_scaler(path, load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(path)


def unpickle(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def predictions_of(run):
    _, rows = read_csv(f"{run}/outputs/challenge_predictions.csv")
    return rows


def check_near(actual, expected, what):
    worst = numpy.max(numpy.abs(actual - expected) / numpy.maximum(numpy.abs(expected), 1))
    check(worst <= TOLERANCE, f"{what}: {worst:.2e} off")
    return worst


def check_scores(data, run, score):
    rows = predictions_of(run)
    check(len(rows) > 0, "no predictions")
    for row in rows:
        path = f"{data}/{row['machine_type']}/test/{row['file_name']}"
        expected = float(row["reconstruction_error"])
        worst = abs(score(row["machine_type"], path) / expected - 1)
        check(worst <= TOLERANCE, f"{row['file_name']}: {worst:.2e} off")
    return len(rows)


def keras_score(run, machine, path, scaler):
    model = keras.models.load_model(f"{run}/data/{machine}/autoencoder_model.h5", compile=False)
    vectors = vectors_of(path, model.input_shape[1] // (numpy.load(path).shape[1]))
    scaled = scaler.transform(vectors.astype(numpy.float64)) if scaler else vectors
    return float(numpy.mean((model.predict(scaled, verbose=0) - scaled) ** 2, dtype=numpy.float64))


def test_predictions_and_scaler_are_ours(folder):
    data = make_log_mels(f"{folder}/data")
    run = f"{folder}/run"
    auscult("run", "--data", data, "--out", run, "--local", "2", *TINY)
    for machine in ("fan", "pump"):
        home = f"{run}/data/{machine}"
        scaler = load_scaler(f"{home}/scaler.pkl", joblib.load)
        again = load_scaler(f"{home}/scaler.pkl", unpickle)
        check(isinstance(scaler, sklearn.preprocessing.StandardScaler), str(type(scaler)))
        check(scaler.get_params() == {"copy": True, "with_mean": True, "with_std": True}, "params")

        training = numpy.concatenate([vectors_of(f"{data}/{machine}/train/{name}")
                                      for name in sorted(os.listdir(f"{data}/{machine}/train"))])
        check(scaler.n_features_in_ == MELS * FRAMES, f"{scaler.n_features_in_}")
        # A tenth of the vectors is held out, and the scaler is not made of those.
        check(0.85 * len(training) < scaler.n_samples_seen_ <= 0.92 * len(training),
              f"{scaler.n_samples_seen_} of {len(training)}")
        check(scaler.scale_[3] == 1 and scaler.var_[3] < 1e-9, "the constant feature")
        check_near(again.transform(training), scaler.transform(training), "pickle and joblib")
        copied = sklearn.base.clone(scaler).fit(training)
        check(numpy.allclose(copied.mean_, scaler.mean_, atol=2), "a fit of all vectors is near")

        model = keras.models.load_model(f"{home}/autoencoder_model.h5", compile=False)
        check(model.input_shape == (None, MELS * FRAMES), str(model.input_shape))
        check([type(layer).__name__ for layer in model.layers[-4:]]
              == ["Dense", "BatchNormalization", "Activation", "Dense"], str(model.layers))
        threshold = numpy.load(f"{home}/threshold.npy")
        check(threshold.shape == () and threshold > 0, f"{threshold!r}")
        for row in predictions_of(run):
            if row["machine_type"] == machine:
                check(float(row["threshold"]) == float(threshold), f"{threshold}")
    scores = numpy.load(f"{run}/outputs/scores.npy")
    check(scores.dtype == numpy.float64 and
          scores.tolist() == [float(row["reconstruction_error"]) for row in predictions_of(run)], f"{scores}")
    scalers = {m: joblib.load(f"{run}/data/{m}/scaler.pkl") for m in ("fan", "pump")}
    count = check_scores(data, run, lambda m, path: keras_score(run, m, path, scalers[m]))
    check(count == 8, f"{count} scores compared")


def test_the_scaler_may_be_the_first_layer(folder):
    data = make_log_mels(f"{folder}/data", ("fan",))
    run = f"{folder}/run"
    auscult("run", "--data", data, "--out", run, "--local", "1", *TINY, "--set", "h5_scaler=inside")
    scaler = joblib.load(f"{run}/data/fan/scaler.pkl")
    model = keras.models.load_model(f"{run}/data/fan/autoencoder_model.h5", compile=False)
    check(model.layers[0].name == "scaler", model.layers[0].name)
    vectors = numpy.concatenate([vectors_of(f"{data}/fan/test/{name}")
                                 for name in sorted(os.listdir(f"{data}/fan/test"))])
    check_near(numpy.asarray(model.layers[0](vectors)), scaler.transform(vectors), "first layer")

    def score(_, path):
        given = vectors_of(path)
        scaled = scaler.transform(given.astype(numpy.float64))
        return float(numpy.mean((model.predict(given, verbose=0) - scaled) ** 2))

    check_scores(data, run, score)


def test_other_networks_and_no_scaler(folder):
    data = make_log_mels(f"{folder}/data", ("fan",), mels=20)
    for name, settings in {
        "plain": ["hidden=[24]", "batch_norm=false"],
        "deep": ["hidden=[30, 4, 30]", "scaler=none"],
    }.items():
        run = f"{folder}/{name}"
        options = [part for s in settings for part in ("--set", s)]
        auscult("run", "--data", data, "--out", run, "--local", "1", *TINY, "--set", "n_mels=20",
                *options)
        path = f"{run}/data/fan/scaler.pkl"
        check(os.path.exists(path) == (name == "plain"), f"{name}: scaler.pkl")
        scaler = joblib.load(path) if name == "plain" else None
        check_scores(data, run, lambda m, clip: keras_score(run, m, clip, scaler))


def test_h5py_sees_kerass_own_structure(folder):
    """What the Keras of TensorFlow 2 reads, name by name."""
    data = make_log_mels(f"{folder}/data", ("fan",), mels=20)
    auscult("run", "--data", data, "--out", f"{folder}/run", "--local", "1", *TINY, "--set",
            "n_mels=20")
    with h5py.File(f"{folder}/run/data/fan/autoencoder_model.h5") as file:
        names = [name.decode() for name in file["model_weights"].attrs["layer_names"]]
        check(names[:4] == ["input_1", "dense", "batch_normalization", "activation"], str(names))
        for name in names:
            group = file["model_weights"][name]
            for array in group.attrs["weight_names"]:
                check(group[array.decode()].dtype == numpy.float32, f"{name}/{array}")
        check(file.attrs["keras_version"].decode().startswith("2."), "version")
        check(file.attrs["model_config"].decode().startswith('{"class_name": "Sequential"'), "text")


def test_features_are_exported_for_numpy_and_h5py(folder):
    data = make_log_mels(f"{folder}/data", ("fan", "pump"), mels=20)
    make_data(data, ("noise",), train=3, test=1)
    with open(f"{data}/fan/test/section_00_source_test_normal_0009.npy", "wb") as file:
        file.write(b"damaged")
    outs = {}
    for form in ("npy", "hdf5"):
        outs[form] = f"{folder}/{form}"
        auscult("extract", "--data", data, "--out", outs[form], "--export", form, "--set", "n_mels=20")
    count = 0
    for machine in ("fan", "noise", "pump"):
        with h5py.File(f"{outs['hdf5']}/features/dev/{machine}.h5") as file:
            check("n_mels: 20" in file.attrs["settings"].decode(), str(dict(file.attrs)))
            for split in ("train", "test"):
                names = sorted(file[f"{machine}/{split}"])
                check("section_00_source_test_normal_0009.npy" not in names, "a damaged clip")
                for name in names:
                    rows = file[f"{machine}/{split}/{name}"][()]
                    same = numpy.load(f"{outs['npy']}/features/dev/{machine}/{split}/{name}.npy")
                    check(rows.dtype == numpy.float32 and numpy.array_equal(rows, same), name)
                    if machine != "noise":  # its clips are log-mels already
                        given = numpy.load(f"{data}/{machine}/{split}/{name}")
                        check(numpy.array_equal(rows, given), name)
                    count += 1
    check(count == 29, f"{count} clips")
    auscult("extract", "--data", data, "--out", outs["npy"], "--export", "mat", expect=2)


if __name__ == "__main__":
    main(globals())
