#!/usr/bin/env python3
"""Makes the vectors of the voice tests with the packages whose results Swiftlet reproduces, as oracles.

    python3 -m pip install numpy scipy onnxruntime tqdm scikit-learn packaging espeakng-loader
    python3 -m pip install --no-deps silero-vad==6.2.3 openwakeword==0.4.0
    python3 -m pip download --no-deps --no-binary :all: silero-vad==6.2.3        (and unpack it: its tests have a recording, MIT licence)
    python3 Tests/SwiftletAudioTests/Scripts/make_voice_vectors.py silero_vad-6.2.3/tests/data/test.wav

voice-16k.wav, voice-8k.wav       four seconds of that recording
voice-16k.npy, voice-8k.npy       f32 [windows], the probabilities of Silero VAD on them (onnxruntime)
segments.json                     made-up probabilities (in 64ths) with settings, and the stretches `get_speech_timestamps_from_probs` finds
wake.wav                          wake words spoken by eSpeak NG
wake.npy                          f32 [frames, words], the scores of openWakeWord on it, frame by frame; wake.json has the words
wake-padded.json                  the highest score of each word with `predict_clip`, which adds a second of silence on each side
"""
import ctypes
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import types

import espeakng_loader
import numpy as np
import onnxruntime
import openwakeword
from scipy.io import wavfile
from scipy.signal import resample_poly

FOLDER = pathlib.Path(__file__).parents[1] / "Vectors"
RECORDING_START, RECORDING_SECONDS = 15.0, 4
WORDS = ["alexa", "hey_mycroft", "hey_jarvis", "hey_marvin", "timer", "weather"]
# Voice, words a minute, pitch, text: found to be recognised.
SAID = [
    ("en-us", 170, 30, "Alexa"),
    ("en-us", 170, 50, "Hey Jarvis"),
    ("en-gb", 110, 70, "Hey Mycroft"),
    ("en-us", 150, 50, "Set a timer for five minutes."),
]


def silero():
    """The package's `utils_vad` and folder. It imports torch, of which the segmentation uses nothing."""
    torch = types.ModuleType("torch")
    torch.no_grad = lambda: lambda function: function
    torch.Tensor = object
    torch.device = str
    sys.modules["torch"] = torch
    folder = pathlib.Path(importlib.metadata.distribution("silero-vad").locate_file("silero_vad"))
    spec = importlib.util.spec_from_file_location("utils_vad", folder / "utils_vad.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    del sys.modules["torch"]  # SciPy would take it for the real one
    return module, folder


def one_thread():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def probabilities(model, samples, rate):
    """What the network says of each window, the way the package's wrapper calls it."""
    window, context = (512, 64) if rate == 16000 else (256, 32)
    padded = np.concatenate([np.zeros(context), samples / 32768, np.zeros(-len(samples) % window)]).astype(np.float32)
    state, result = np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(samples), window):
        piece = padded[None, start : start + context + window]
        output, state = model.run(None, {"input": piece, "state": state, "sr": np.array(rate, np.int64)})
        result.append(output[0, 0])
    return np.array(result, np.float32)


def integers(samples):
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def segment_cases(utils):
    random = np.random.default_rng(11)
    for case in range(120):
        # Runs of speech, silence and what lies between the thresholds, of lengths that cross the limits in both directions.
        levels = []
        while len(levels) < 160:
            low, high = [(0, 20), (40, 65), (20, 40)][random.choice(3, p=[0.4, 0.45, 0.15])]
            levels += list(random.integers(low, high, random.integers(1, random.choice([4, 12, 40]))))
        levels = [int(level) for level in levels]
        rate = int(random.choice([8000, 16000]))
        window = 512 if rate == 16000 else 256
        count = len(levels) * window - int(random.integers(0, window))
        settings = {"sampling_rate": rate, "audio_length_samples": count}
        if case > 3:
            settings |= {
                "threshold": float(random.choice([0.25, 0.5, 0.75])),
                "min_speech_duration_ms": int(random.choice([0, 64, 250, 800])),
                "min_silence_duration_ms": int(random.choice([0, 32, 100, 300])),
                "speech_pad_ms": int(random.choice([0, 30, 77, 400])),
            }
        if case % 3 > 0:
            settings |= {
                "max_speech_duration_s": float(random.choice([0.2, 0.5, 1.0, 2.5])),
                "min_silence_at_max_speech": int(random.choice([0, 31, 98])),
                "use_max_poss_sil_at_max_speech": bool(random.integers(2)),
            }
        if case % 5 == 4:
            settings["neg_threshold"] = float(random.choice([0.125, 0.375, 0.625]))
        found = utils.get_speech_timestamps_from_probs([level / 64 for level in levels], **settings)
        yield settings | {"levels": levels, "segments": [[int(s["start"]), int(s["end"])] for s in found]}


def say(words):
    """Samples at 16 kHz of (voice, words a minute, pitch, text) after each other."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    pieces = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, _):
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(take)
    for voice, speed, pitch, text in words:
        library.espeak_SetVoiceByName(voice.encode())
        library.espeak_SetParameter(1, speed, 0)
        library.espeak_SetParameter(3, pitch, 0)
        data = text.encode() + b"\0"
        library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, 1, None, None)
        library.espeak_Synchronize()
    return integers(resample_poly(np.concatenate(pieces).astype(float), 16000, rate))


def wake_model():
    resources = pathlib.Path(openwakeword.__file__).parent / "resources/models"
    model = openwakeword.Model(wakeword_model_paths=[str(resources / f"{word}_v0.1.onnx") for word in WORDS])
    # Classes have names only when models are not given by path.
    model.class_mapping["timer_v0.1"] = openwakeword.model_class_mappings["timer"]
    return model


def main():
    FOLDER.mkdir(exist_ok=True)
    utils, folder = silero()
    rate, recording = wavfile.read(sys.argv[1])
    assert rate == 16000
    start = int(RECORDING_START * rate)
    speech = recording[start : start + RECORDING_SECONDS * rate]
    network = onnxruntime.InferenceSession(str(folder / "data/silero_vad.onnx"), one_thread())
    for name, rate, samples in [("voice-16k", 16000, speech), ("voice-8k", 8000, integers(resample_poly(speech.astype(float), 1, 2)))]:
        wavfile.write(FOLDER / f"{name}.wav", rate, samples)
        found = probabilities(network, samples, rate)
        np.save(FOLDER / f"{name}.npy", found)
        print(name, utils.get_speech_timestamps_from_probs([float(p) for p in found], sampling_rate=rate, audio_length_samples=len(samples)))
    cases = list(segment_cases(utils))
    (FOLDER / "segments.json").write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")
    print(len(cases), "cases,", sum(len(case["segments"]) for case in cases), "stretches")

    words = say(SAID)
    wavfile.write(FOLDER / "wake.wav", 16000, words)
    model, scores = wake_model(), []
    for start in range(0, len(words) - 1279, 1280):
        scores.append(model.predict(words[start : start + 1280]))
    labels = [label for label in scores[0]]
    np.save(FOLDER / "wake.npy", np.array([[frame[label] for label in labels] for frame in scores], np.float32))
    (FOLDER / "wake.json").write_text(json.dumps(labels) + "\n")
    padded = wake_model().predict_clip(words)
    highest = {label: float(max(frame[label] for frame in padded)) for label in labels}
    (FOLDER / "wake-padded.json").write_text(json.dumps(highest, indent=1) + "\n")
    print(len(words), np.max(np.load(FOLDER / "wake.npy"), axis=0), highest)


main()
