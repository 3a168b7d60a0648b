#!/usr/bin/env python3
"""Makes a short sound and what librosa (0.11), SciPy (1.17) and NumPy make of it, as the oracle of SwiftletAudio.

    python3 -m pip install numpy scipy librosa
    python3 Tests/SwiftletAudioTests/Scripts/make_audio_vectors.py

Vectors/signal.npy               f32 [1600]: a glide, two tones, noise and a silence
Vectors/window-*.npy             f32 [33], periodic and symmetric
Vectors/fft-N.npy                f64 [2, N/2 + 1], real and imaginary parts of the first N samples' spectrum
Vectors/stft-*.npy, mel*.npy, mfcc*.npy      f32 [frames, width]
Vectors/filters-*.npy            f32 [mels, bins]
Vectors/resample-FROM-TO.npy     f32, the windowed sinc of Resampler.swift evaluated in f64
"""
import pathlib

import librosa
import numpy as np
import scipy.signal

FOLDER = pathlib.Path(__file__).parent.parent / "Vectors"
RATE = 16000


def save(name, array):
    np.save(FOLDER / f"{name}.npy", np.ascontiguousarray(array))


def signal():
    time = np.arange(1600) / RATE
    glide = 0.3 * np.sin(2 * np.pi * (300 * time + 20000 * time**2))
    tones = 0.2 * np.sin(2 * np.pi * 1000 * time + 1) + 0.1 * np.sin(2 * np.pi * 3333 * time)
    noise = np.random.default_rng(3).normal(0, 0.02, 1600)
    result = glide + tones + noise
    result[500:1100] = 0
    return result.astype(np.float32)


def windows():
    for name, window in {"hann": "hann", "hamming": "hamming", "blackman": "blackman", "kaiser": ("kaiser", 8.6)}.items():
        save(f"window-{name}", scipy.signal.get_window(window, 33, fftbins=True).astype(np.float32))
        save(f"window-{name}-symmetric", scipy.signal.get_window(window, 33, fftbins=False).astype(np.float32))


def spectra(samples):
    # Powers of two, products of small primes, primes, an odd product with a large prime, twice a large prime.
    for length in [1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 30, 31, 64, 101, 105, 202, 240, 400, 512, 731, 1009, 1155, 1400, 1600]:
        spectrum = np.fft.rfft(samples[:length].astype(np.float64))
        save(f"fft-{length}", np.stack([spectrum.real, spectrum.imag]))


def stft(samples, name, **options):
    spectrum = librosa.stft(samples.astype(np.float64), **options).T
    save(f"stft-{name}", np.stack([spectrum.real, spectrum.imag], axis=2).reshape(len(spectrum), -1).astype(np.float32))


def features(samples):
    stft(samples, "zeros", n_fft=256, hop_length=100, pad_mode="constant")
    stft(samples, "reflect", n_fft=256, hop_length=400, win_length=200, window="hamming", pad_mode="reflect")
    stft(samples, "none", n_fft=250, hop_length=300, center=False)
    double = samples.astype(np.float64)
    slaney = dict(y=double, sr=RATE, n_fft=400, hop_length=160, pad_mode="reflect", n_mels=40)
    mel = librosa.feature.melspectrogram(**slaney)
    save("mel", mel.T.astype(np.float32))
    save("mel-natural", np.log(np.maximum(mel, 1e-6)).T.astype(np.float32))
    save("mel-decibels", librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None).T.astype(np.float32))
    # As Whisper has it, before its last step.
    decimal = np.log10(np.maximum(mel, 1e-10))
    save("mel-decimal-8", np.maximum(decimal, decimal.max() - 8).T.astype(np.float32))
    save("mfcc", librosa.feature.mfcc(S=librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None), n_mfcc=13).T.astype(np.float32))
    save("mfcc-80", librosa.feature.mfcc(S=librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=80), n_mfcc=13).T.astype(np.float32))
    save("filters-slaney", librosa.filters.mel(sr=RATE, n_fft=400, n_mels=40).astype(np.float32))
    save(
        "filters-htk",
        librosa.filters.mel(sr=RATE, n_fft=512, n_mels=23, fmin=60, fmax=7000, htk=True, norm=None).astype(np.float32),
    )


def resample(samples, source, target, crossings=64, rolloff=0.95, beta=10.06):
    ratio = target / source
    narrowing = min(1, ratio)
    width = crossings / narrowing
    places = np.arange(int(np.ceil(len(samples) * target / source))) * source / target
    index = np.arange(-int(width) - 2, len(samples) + int(width) + 2)
    distance = index[None, :] - places[:, None]
    weights = np.sinc(narrowing * rolloff * distance)
    weights *= np.i0(beta * np.sqrt(np.maximum(0, 1 - (distance / width) ** 2))) / np.i0(beta)
    weights[np.abs(distance) >= width] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    inside = (index >= 0) & (index < len(samples))
    save(f"resample-{source}-{target}", (weights[:, inside] @ samples.astype(np.float64)).astype(np.float32))


def main():
    FOLDER.mkdir(exist_ok=True)
    samples = signal()
    save("signal", samples)
    windows()
    spectra(samples)
    features(samples)
    for source, target in [(44100, 16000), (16000, 44100), (48000, 16000), (16000, 8000), (44101, 16000)]:
        resample(samples, source, target)


main()
