#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks and scalers that Keras, PyTorch and scikit-learn made, scored by `auscult score --model`:
the scores are those that their own programs compute; and files that are damaged or hostile are
refused by name, with nothing run and nothing broken."""

import io
import json
import os
import pickle
import random
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packages  # noqa: E402

packages.enter()

import absl.logging  # noqa: E402
import h5py  # noqa: E402
import joblib  # noqa: E402
import keras  # noqa: E402
import numpy  # noqa: E402
from keras import layers  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import SHARED, Skip, auscult, check, check_has, check_same_results, main  # noqa: E402
from test_python_files import TOLERANCE, make_log_mels, predictions_of, vectors_of  # noqa: E402

MELS, FRAMES = 20, 3
WIDTH = MELS * FRAMES
SHAPE = ["--set", f"n_mels={MELS}", "--set", f"frames={FRAMES}"]
HOSTILE_FILES = 200
absl.logging.set_verbosity("error")  # .h5 is a legacy format, which is why it is wanted


def make_data(folder, mels=MELS):
    return make_log_mels(f"{folder}/data", ("fan",), mels=mels)


def settle(model, seed=11):
    """Running statistics and biases that are not those of a model fresh from the constructor."""
    draw = numpy.random.default_rng(seed)
    for layer in model.layers:
        weights = layer.get_weights()
        if weights:
            layer.set_weights([w + draw.uniform(0.01, 0.3, w.shape).astype(w.dtype) for w in weights])
    return model


def everything():
    """One of each layer and activation that are known."""
    parts = [keras.Input((WIDTH,)), layers.Dense(24, activation="relu"), layers.Dropout(0.3)]
    for i, name in enumerate(("tanh", "sigmoid", "elu", "selu", "softplus", "softsign", "silu",
                              "leaky_relu", "relu6")):
        parts += [layers.Dense(10 + i, activation=name, use_bias=i % 2 == 0)]
    parts += [layers.BatchNormalization(epsilon=0.02), layers.Activation("relu"), layers.Dense(9),
              layers.BatchNormalization(center=False), layers.ReLU(negative_slope=0.1, max_value=3),
              layers.Dense(8), layers.BatchNormalization(scale=False), layers.LeakyReLU(),
              layers.Dense(7), layers.ELU(alpha=0.7), layers.Dense(WIDTH)]
    return settle(keras.Sequential(parts))


def functional():
    inputs = keras.Input((WIDTH,))
    x = inputs
    for width in (16, 4, 16):
        x = layers.Dense(width)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    return settle(keras.Model(inputs, layers.Dense(WIDTH)(x)))


def save(model, path):
    model.save(path)
    return path


def fitted_scaler(data, frames=FRAMES):
    training = [vectors_of(f"{data}/fan/train/{name}", frames)
                for name in sorted(os.listdir(f"{data}/fan/train"))]
    return StandardScaler().fit(numpy.concatenate(training).astype(numpy.float64))


def score(model, data, out, *options, **more):
    return auscult("score", "--model", model, "--data", data, "--out", out, *options, **more)


def check_as_keras(data, run, predict, scaler=None, frames=FRAMES):
    rows = predictions_of(run)
    check(len(rows) == 4, f"{len(rows)} predictions")
    for row in rows:
        vectors = vectors_of(f"{data}/fan/test/{row['file_name']}", frames)
        given = scaler.transform(vectors.astype(numpy.float64)) if scaler else vectors
        error = numpy.mean((numpy.asarray(predict(given)) - given) ** 2, dtype=numpy.float64)
        off = abs(float(row["reconstruction_error"]) / error - 1)
        check(off <= TOLERANCE, f"{row['file_name']}: {off:.2e} off")


def test_what_keras_saved_scores_as_keras_does(folder):
    data = make_data(folder)
    scaler = fitted_scaler(data)
    joblib.dump(scaler, f"{folder}/scaler.pkl")
    for name, make in (("everything", everything), ("functional", functional)):
        model = make()
        path = save(model, f"{folder}/{name}.h5")
        score(path, data, f"{folder}/{name}", "--scaler", f"{folder}/scaler.pkl", "--local", "1", *SHAPE)
        check_as_keras(data, f"{folder}/{name}", lambda x: model.predict(x, verbose=0), scaler)
    score(path, data, f"{folder}/three", "--scaler", f"{folder}/scaler.pkl", "--local", "3", *SHAPE)
    check_same_results(f"{folder}/three", f"{folder}/functional")
    # What is done is not done again, and needs no source any more.
    os.remove(path)
    os.remove(f"{folder}/three/outputs/challenge_predictions.csv")
    auscult("run", "--out", f"{folder}/three", "--local", "1")
    check_same_results(f"{folder}/three", f"{folder}/functional")


def test_another_network_is_not_taken_by_accident(folder):
    data = make_data(folder)
    run = f"{folder}/run"
    score(save(functional(), f"{folder}/one.h5"), data, run, "--local", "1", *SHAPE)
    other = save(settle(functional(), 12), f"{folder}/other.h5")
    before = predictions_of(run)
    result = score(other, data, run, "--local", "1", expect=2)
    check_has(result.err, "fan", "clips scored", "network", "--update")
    check("epoch" not in result.err, result.err)
    auscult("run", "--out", run, "--local", "1")
    check(predictions_of(run) == before, "other predictions")
    score(other, data, run, "--local", "1", "--update")
    check(predictions_of(run) != before, "the same predictions")


def test_every_form_of_a_scaler_is_the_same(folder):
    data = make_data(folder)
    scaler = fitted_scaler(data)
    path = save(functional(), f"{folder}/x.h5")
    forms = {}
    for protocol in (2, 3, 4, 5):
        forms[f"pickle{protocol}.pkl"] = lambda file, p=protocol: pickle.dump(scaler, file, p)
        forms[f"joblib{protocol}.pkl"] = lambda file, p=protocol: joblib.dump(scaler, file, 0, p)
    forms["numpy.npz"] = lambda file: numpy.savez(file, mean_=scaler.mean_, scale_=scaler.scale_)
    forms["small.npz"] = lambda file: numpy.savez_compressed(file, mean_=scaler.mean_, scale_=scaler.scale_)
    first = None
    for name, write in forms.items():
        with open(f"{folder}/{name}", "wb") as file:
            write(file)
        score(path, data, f"{folder}/run-{name}", "--scaler", f"{folder}/{name}", "--local", "1", *SHAPE)
        first = first or f"{folder}/run-{name}"
        check(predictions_of(f"{folder}/run-{name}") == predictions_of(first), name)


def torch_like(weights):
    """The baseline's network as a Keras model with PyTorch's weights."""
    parts = [keras.Input((640,))]
    for part, count in (("encoder", 5), ("decoder", 5)):
        for i in range(count):
            weight = weights[f"{part}.{3 * i}.weight"]
            dense = layers.Dense(weight.shape[0])
            parts.append((dense, [weight.T, weights[f"{part}.{3 * i}.bias"]]))
            if f"{part}.{3 * i + 1}.running_mean" in weights:
                norm = f"{part}.{3 * i + 1}."
                parts.append((layers.BatchNormalization(epsilon=1e-3),
                              [weights[norm + n] for n in ("weight", "bias", "running_mean", "running_var")]))
                parts.append(layers.Activation("relu"))
    model = keras.Sequential([p[0] if isinstance(p, tuple) else p for p in parts])
    for part in parts:
        if isinstance(part, tuple):
            part[0].set_weights(part[1])
    return model


def test_the_baselines_weights_score_alike_from_either_file(folder):
    path = f"{SHARED}/data/baseline_run/weights.npz"
    if not os.path.exists(path):
        raise Skip(f"no {path} (AUSCULT_SHARED names the folder)")
    data = make_data(folder, mels=128)
    model = torch_like(numpy.load(path))
    score(path, data, f"{folder}/npz", "--local", "2")
    score(save(model, f"{folder}/x.h5"), data, f"{folder}/h5", "--local", "2")
    check_as_keras(data, f"{folder}/npz", lambda x: model.predict(x, verbose=0), frames=5)
    for one, other in zip(predictions_of(f"{folder}/npz"), predictions_of(f"{folder}/h5")):
        off = float(one["reconstruction_error"]) / float(other["reconstruction_error"]) - 1
        check(abs(off) <= TOLERANCE, f"{off:.2e} between .npz and .h5")


def write_old_style(path, weights):
    """As the Keras of TensorFlow 2.3 wrote a Functional model: input_1, batch_input_shape."""
    def node(before):
        return [[[before, 0, 0, {}]]]

    chain, before, arrays = [], "input_1", {"input_1": []}
    chain.append({"class_name": "InputLayer", "config": {"batch_input_shape": [None, 640],
                  "dtype": "float32", "sparse": False, "ragged": False, "name": "input_1"},
                  "name": "input_1", "inbound_nodes": []})
    for i, (kernel, bias, norm) in enumerate(weights):
        suffix = f"_{i}" if i else ""
        names = [("Dense", "dense" + suffix, {"units": kernel.shape[1], "activation": "linear", "use_bias": True},
                  {"kernel": kernel, "bias": bias})]
        if norm:
            names.append(("BatchNormalization", "batch_normalization" + suffix,
                          {"axis": [1], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True},
                          dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), norm))))
            names.append(("Activation", "activation" + suffix, {"activation": "relu"}, {}))
        for kind, name, config, values in names:
            chain.append({"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32",
                          **config}, "name": name, "inbound_nodes": node(before)})
            arrays[name] = [(f"{name}/{array}:0", value) for array, value in values.items()]
            before = name
    model = {"class_name": "Functional", "config": {"name": "functional_1", "layers": chain,
             "input_layers": [["input_1", 0, 0]], "output_layers": [[before, 0, 0]]}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(model).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in arrays]
        for name, values in arrays.items():
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [array.encode() for array, _ in values]
            for array, value in values:
                layer[array] = value


def test_a_file_of_tensorflow_2_3_scores_without_a_scaler(folder):
    data = make_data(folder, mels=128)
    draw = numpy.random.default_rng(3)
    widths, weights = [640, 128, 8, 128, 640], []
    for i in range(4):
        out = widths[i + 1]
        norm = [draw.uniform(0.5, 1.5, out).astype("f4") for _ in range(4)] if i < 3 else None
        weights.append((draw.normal(0, 0.1, (widths[i], out)).astype("f4"),
                        draw.normal(0, 0.1, out).astype("f4"), norm))
    write_old_style(f"{folder}/old.h5", weights)
    score(f"{folder}/old.h5", data, f"{folder}/run", "--local", "2")

    def predict(x):
        x = x.astype(numpy.float64)
        for kernel, bias, norm in weights:
            x = x @ kernel + bias
            if norm:
                x = numpy.maximum(0, (x - norm[2]) / numpy.sqrt(norm[3] + 1e-3) * norm[0] + norm[1])
        return x

    check_as_keras(data, f"{folder}/run", predict, frames=5)


def test_thresholds_are_given_or_found_or_missing(folder):
    data = make_data(folder)
    path = save(functional(), f"{folder}/x.h5")
    numpy.save(f"{folder}/t.npy", 1e-3)
    score(path, data, f"{folder}/given", "--threshold", f"{folder}/t.npy", *SHAPE)
    rows = predictions_of(f"{folder}/given")
    check({float(row["threshold"]) for row in rows} == {1e-3}, str(rows))
    check({row["is_anomaly"] for row in rows} == {"1"}, str(rows))
    score(path, data, f"{folder}/found", *SHAPE)
    check(float(predictions_of(f"{folder}/found")[0]["threshold"]) > 1, "no threshold was found")
    os.rename(f"{data}/fan/train", f"{folder}/train")
    result = score(path, data, f"{folder}/missing", *SHAPE)
    check_has(result.err + result.out, "no threshold")
    rows = predictions_of(f"{folder}/missing")
    check(len(rows) == 4 and all(float(row["reconstruction_error"]) > 0 for row in rows), str(rows))


def refused(folder, *options, model=None, scaler=None, says=()):
    """What import says of a file; there are no data, so that nothing goes on behind it."""
    given = ["--model", model or f"{folder}/good.h5"]
    given += ["--scaler", scaler] if scaler else []
    result = auscult("score", *given, "--data", f"{folder}/nodata", "--out", f"{folder}/none", *options,
                     expect=2)
    check_has(result.err, *says)
    check(not os.path.exists(f"{folder}/none"), "a run's folder was left behind")
    return result.err


def test_what_is_not_known_is_named(folder):
    save(functional(), f"{folder}/good.h5")
    inputs = keras.Input((WIDTH,))
    models = {
        "conv": ("Conv1D", keras.Sequential([keras.Input((WIDTH, 1)), layers.Conv1D(2, 3)])),
        "gelu": ("gelu", keras.Sequential([keras.Input((WIDTH,)), layers.Dense(WIDTH, activation="gelu")])),
        "narrow": ("from 60 to 5", keras.Sequential([keras.Input((WIDTH,)), layers.Dense(5)])),
        "branch": ("plain chain", keras.Model(inputs, layers.Add()([layers.Dense(WIDTH)(inputs), inputs]))),
        "deep": ("Sequential", keras.Sequential([keras.Input((WIDTH,)), keras.Sequential([layers.Dense(WIDTH)])])),
    }
    for name, (word, model) in models.items():
        path = save(model, f"{folder}/{name}.h5")
        refused(folder, model=path, says=(path, word))
    functional().save(f"{folder}/new.keras")
    refused(folder, model=f"{folder}/new.keras", says=("new.keras", ".h5"))
    joblib.dump(StandardScaler().fit(numpy.ones((3, 7))), f"{folder}/seven.pkl")
    refused(folder, scaler=f"{folder}/seven.pkl", says=("seven.pkl", "7", str(WIDTH)))
    joblib.dump(StandardScaler(), f"{folder}/unfitted.pkl")
    refused(folder, scaler=f"{folder}/unfitted.pkl", says=("unfitted.pkl", "not fitted"))
    refused(folder, says=("nodata",))
    data = make_data(folder)
    result = score(f"{folder}/good.h5", data, f"{folder}/run", expect=2)
    check_has(result.err, "60", "640", "n_mels")
    check(not os.path.exists(f"{folder}/run"), "a run's folder was left behind")


# ---- damaged and hostile files ----


class Call:
    def __init__(self, function, *args):
        self.made = (function, args)

    def __reduce__(self):
        return self.made


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def damage(draw, good):
    """One of several ways to damage bytes."""
    data = bytearray(good)
    way = draw.randrange(5)
    if way == 0:
        return bytes(data[: draw.randrange(len(data))])
    if way == 1:
        for _ in range(draw.choice((1, 3, 30))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif way == 2:  # a count or an address that is huge
        at = draw.randrange(max(1, min(len(data), 4096) - 8))
        data[at : at + 8] = draw.choice((b"\xff" * 8, b"\xff\xff\xff\x7f" + bytes(4), b"\0" * 7 + b"\x40"))
    elif way == 3:
        at, size = draw.randrange(len(data)), draw.randrange(1, 200)
        data[at : at + size] = draw.randbytes(size)
    else:  # a part of it elsewhere
        at, to, size = draw.randrange(len(data)), draw.randrange(len(data)), draw.randrange(1, 2000)
        data[to : to + size] = data[at : at + size]
    return bytes(data)


def hostile_pickles(folder, scaler):
    mark = f"{folder}/was_run"
    state = dict(scaler.__dict__)
    deep = StandardScaler().fit(numpy.ones((2, WIDTH)))
    deep.mean_ = nested(300)
    huge = StandardScaler().fit(numpy.ones((2, WIDTH)))
    huge.mean_ = numpy.zeros(300000)
    objects = numpy.array([Call(os.system, f"touch {mark}")], dtype=object)
    state["mean_"] = Call(os.system, f"touch {mark}")
    evil = StandardScaler()
    evil.__dict__.update(state)
    cases = [Call(os.system, f"touch {mark}"), Call(eval, f"open({mark!r}, 'w')"),
             Call(exec, f"open({mark!r}, 'w')"), Call(open, mark, "w"), evil, deep, huge, objects,
             nested(200), {"a": 1}, None, numpy.zeros(3), joblib]
    for case in cases:
        for protocol in (2, 4):
            try:
                yield pickle.dumps(case, protocol)
            except (TypeError, RecursionError):
                pass  # what Python itself cannot write is no case
    buffer = io.BytesIO()
    joblib.dump(scaler, buffer, compress=3)
    yield buffer.getvalue()


def hostile_models(good):
    """Valid HDF5 whose contents are not what they say."""
    def changed(change):
        buffer = io.BytesIO(good)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    def config(text):
        def change(file):
            file.attrs["model_config"] = text
        return change

    def huge_set(file):
        del file["model_weights/dense/dense/kernel:0"]
        file.create_dataset("model_weights/dense/dense/kernel:0", (1 << 20, 1 << 20), "f4", chunks=(64, 64))

    def linked(file):
        del file["model_weights/dense/dense/kernel:0"]
        file["model_weights/dense/dense/kernel:0"] = h5py.ExternalLink("/etc/passwd", "/x")

    def looped(file):
        del file["model_weights/dense"]
        file["model_weights/dense"] = h5py.SoftLink("/model_weights/dense")

    def outside(file):
        del file["model_weights/dense/dense/kernel:0"]
        file.create_dataset("model_weights/dense/dense/kernel:0", (60, 16), "f4",
                            external=[("/etc/passwd", 0, 60 * 16 * 4)])

    def not_finite(file):
        file["model_weights/dense/dense/bias:0"][0] = numpy.nan

    for text in ("[" * 60000, "{}", "null", "{\"class_name\": \"Sequential\", \"config\": 3}",
                 "{\"class_name\": \"Sequential\", \"config\": {\"layers\": [" + ",".join(["{}"] * 3000) + "]}}",
                 "{\"class_name\": \"Lambda\"}", "\0", "x" * 50000):
        yield changed(config(numpy.bytes_(text)))
    for change in (huge_set, linked, looped, outside, not_finite):
        yield changed(change)


def test_damaged_and_hostile_files_are_refused(folder):
    seed = int(os.environ.get("AUSCULT_SEED", "20261123"))
    print(f"seed {seed} (AUSCULT_SEED={seed} runs the same files again)")
    draw = random.Random(seed)
    save_ours = make_data(folder)
    auscult("run", "--data", save_ours, "--out", f"{folder}/ours", "--local", "1", "--set", "epochs=1",
            "--set", "hidden=[16, 4, 16]", *SHAPE)
    home = f"{folder}/ours/data/fan"
    os.rename(f"{home}/autoencoder_model.h5", f"{folder}/good.h5")
    scaler = fitted_scaler(save_ours)
    good = {".h5": open(f"{folder}/good.h5", "rb").read(), ".pkl": pickle.dumps(scaler, 4),
            ".npy": open(f"{home}/threshold.npy", "rb").read()}
    files = [(".h5", data) for data in hostile_models(good[".h5"])]
    files += [(".pkl", data) for data in hostile_pickles(folder, scaler)]
    kinds = [".h5"] * 3 + [".pkl"] * 2 + [".npy"]
    while len(files) < HOSTILE_FILES:
        kind = draw.choice(kinds)
        files.append((kind, damage(draw, good[kind])))
    crafted = sum(1 for _ in hostile_models(good[".h5"]))
    accepted = 0
    for i, (kind, data) in enumerate(files):
        path = f"{folder}/bad{i}{kind}"
        with open(path, "wb") as file:
            file.write(data)
        model = path if kind == ".h5" else None
        options = ["--threshold", path] if kind == ".npy" else []
        error = refused(folder, *options, model=model, scaler=path if kind == ".pkl" else None)
        is_accepted = "nodata" in error
        accepted += is_accepted
        check(is_accepted or path in error, f"{path} is not named in: {error}")
        check(not is_accepted or i >= crafted, f"hostile model {i} was accepted")
        check(not os.path.exists(f"{folder}/was_run"), f"{path} ran something")
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{len(files)} files: {len(files) - accepted} refused, {accepted} with harmless damage; at most "
          f"{largest:.0f} MiB of memory")
    check(accepted < len(files) / 2, f"{accepted} accepted")
    check(largest < 2300, f"{largest:.0f} MiB")


if __name__ == "__main__":
    main(globals())
