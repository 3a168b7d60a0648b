#!/usr/bin/env python3
"""Makes small WAVE files with SciPy (1.17) as the oracle of our reader and writer.

    python3 -m pip install numpy scipy
    python3 Tests/Vectors/make_wav_vectors.py

wav/<type>.wav        two channels of 33 frames at 16 kHz, which our writer must write byte for byte
wav/expected.npy      f64 [2, 33], the samples before rounding
wav/mono-<type>.wav   its first channel
SciPy does not write 24 bits; the test makes those, and the longer headers, by hand.
"""
import pathlib

import numpy as np
from scipy.io import wavfile

FOLDER = pathlib.Path(__file__).parent / "wav"


def main():
    FOLDER.mkdir(exist_ok=True)
    generator = np.random.default_rng(7)
    # Multiples of 1/128 are exact in every encoding.
    samples = generator.integers(-128, 128, (2, 33)).astype(np.float64) / 128
    samples[:, 0] = [-1, 127 / 128]
    np.save(FOLDER / "expected.npy", samples)
    stored = {
        "int8": (samples * 128 + 128).astype(np.uint8),
        "int16": (samples * 2**15).astype(np.int16),
        "int32": (samples * 2**31).astype(np.int32),
        "float32": samples.astype(np.float32),
        "float64": samples,
    }
    for name, values in stored.items():
        wavfile.write(FOLDER / f"{name}.wav", 16000, values.T)
        wavfile.write(FOLDER / f"mono-{name}.wav", 44100, values[0])


main()
