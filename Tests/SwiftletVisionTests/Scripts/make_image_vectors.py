#!/usr/bin/env python3
"""Makes small pictures and what Pillow (13.0) and OpenCV (5.0) make of them, as the oracle of SwiftletVision.

    python3 -m pip install numpy pillow opencv-python-headless
    python3 Tests/SwiftletVisionTests/Scripts/make_image_vectors.py

Vectors/photo.npy                 u8 [47, 61, 3], the levels most files are made of
Vectors/NAME.jpg, NAME.png        encoded pictures; NAME.npy beside each: the levels Pillow reads, or those that were put in
Vectors/oriented-N.jpg, .npy      the eight EXIF orientations, and the upright levels
Vectors/resize-*.npy              photo.npy at other sizes
Vectors/recipe-*.npy              photo.npy as the f32 input of a network
"""
import io
import pathlib
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps

FOLDER = pathlib.Path(__file__).parent.parent / "Vectors"


def save(name, array):
    np.save(FOLDER / f"{name}.npy", np.ascontiguousarray(array))


def photo():
    """Smooth colours, hard edges and some noise."""
    generator = np.random.default_rng(11)
    y, x = np.mgrid[0:47, 0:61]
    levels = np.stack([x * 4, y * 5, 255 - (x + y) * 2], axis=2).astype(np.float64)
    levels[(x - 40) ** 2 + (y - 20) ** 2 < 120] = [250, 10, 30]
    levels[8:16, 6:20] = [0, 0, 0]
    levels[30:33, :] = [255, 255, 255]
    levels[:, 50::2] = [20, 200, 90]
    return np.clip(levels + generator.normal(0, 6, levels.shape), 0, 255).astype(np.uint8)


def jpegs(levels):
    image = Image.fromarray(levels)
    variants = {
        "444": dict(quality=90, subsampling=0),
        "422": dict(quality=85, subsampling=1),
        "420": dict(quality=75, subsampling=2),
        "progressive": dict(quality=80, progressive=True),
        "restarts": dict(quality=80, restart_marker_blocks=3),
    }
    for name, options in variants.items():
        image.save(FOLDER / f"{name}.jpg", **options)
        save(name, np.asarray(Image.open(FOLDER / f"{name}.jpg")))
    image.convert("L").save(FOLDER / "gray.jpg", quality=80)
    save("gray", np.asarray(Image.open(FOLDER / "gray.jpg"))[:, :, None])
    ink = Image.merge("CMYK", [*ImageOps.invert(image).split(), Image.fromarray(levels[:, ::-1, 1] // 3)])
    ink.save(FOLDER / "cmyk.jpg", quality=90)
    save("cmyk", np.asarray(Image.open(FOLDER / "cmyk.jpg").convert("RGB")))
    # The same numbers, declared as YCCK: byte 11 of the body of the Adobe segment (APP14) says how colours were transformed.
    data = bytearray((FOLDER / "cmyk.jpg").read_bytes())
    place = data.index(b"Adobe")
    data[place + 11] = 2
    (FOLDER / "ycck.jpg").write_bytes(data)
    save("ycck", np.asarray(Image.open(FOLDER / "ycck.jpg").convert("RGB")))


def orientations(levels):
    part = Image.fromarray(levels[:24, :16])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        exif[0x0112] = orientation
        part.save(FOLDER / f"oriented-{orientation}.jpg", quality=95, subsampling=0, exif=exif)
        image = Image.open(FOLDER / f"oriented-{orientation}.jpg")
        save(f"oriented-{orientation}", np.asarray(ImageOps.exif_transpose(image)))
    exif = Image.Exif()
    exif[0x0112] = 6
    part.save(FOLDER / "oriented.png", exif=exif)
    save("oriented", np.asarray(ImageOps.exif_transpose(Image.open(FOLDER / "oriented.png"))))


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def interlaced(levels):
    """Adam7, which Pillow does not write; filter 0 in every row."""
    raw = b""
    for x, y, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = levels[y::dy, x::dx]
        raw += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def packed(levels, bits):
    """Grey of fewer than 8 bits."""
    rows = b""
    for row in levels:
        text = "".join(format(value, f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[place : place + 8], 2) for place in range(0, len(text), 8))
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def pngs(levels):
    small = levels[:20, :30]
    image = Image.fromarray(small)
    image.save(FOLDER / "rgb.png")
    save("rgb", small)
    gray = small[:, :, 1]
    Image.fromarray(gray).save(FOLDER / "luma.png")
    save("luma", gray[:, :, None])
    alpha = np.dstack([small, gray])
    Image.fromarray(alpha).save(FOLDER / "rgba.png")
    save("rgba", alpha)
    Image.fromarray(np.dstack([gray, 255 - gray])).save(FOLDER / "gray-alpha.png")
    save("gray-alpha", np.dstack([gray, gray, gray, 255 - gray]))
    palette = image.quantize(17)
    palette.save(FOLDER / "palette.png")
    save("palette", np.asarray(palette.convert("RGB")))
    palette.save(FOLDER / "palette-alpha.png", transparency=bytes(range(0, 170, 10)))
    save("palette-alpha", np.asarray(Image.open(FOLDER / "palette-alpha.png").convert("RGBA")))
    # Of 16 bits the upper 8 are taken; cv2 stores blue first.
    generator = np.random.default_rng(5)
    wide = generator.integers(0, 65536, (9, 7, 3)).astype(np.uint16)
    cv2.imwrite(str(FOLDER / "rgb16.png"), wide[:, :, ::-1])
    save("rgb16", (wide >> 8).astype(np.uint8))
    cv2.imwrite(str(FOLDER / "gray16.png"), wide[:, :, 0])
    save("gray16", (wide[:, :, :1] >> 8).astype(np.uint8))
    for bits in [1, 2, 4]:
        values = gray[:9, :13] >> (8 - bits)
        (FOLDER / f"gray{bits}.png").write_bytes(packed(values, bits))
        save(f"gray{bits}", (values[:, :, None].astype(int) * 255 // (2**bits - 1)).astype(np.uint8))
    (FOLDER / "interlaced.png").write_bytes(interlaced(small))
    save("interlaced", small)


SIZES = [(23, 17), (97, 80), (30, 90), (1, 1), (61, 12), (200, 3)]


def resizes(levels):
    image = Image.fromarray(levels)
    filters = {
        "nearest": Image.Resampling.NEAREST,
        "box": Image.Resampling.BOX,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
    for name, filter in filters.items():
        for width, height in SIZES:
            save(f"resize-{name}-{width}x{height}", np.asarray(image.resize((width, height), filter)))
    gray = image.convert("L")
    save("resize-gray-23x17", np.asarray(gray.resize((23, 17), Image.Resampling.BICUBIC))[:, :, None])
    alpha = Image.fromarray(np.dstack([levels, levels[::-1, :, 0]]))
    save("resize-rgba-23x17", np.asarray(alpha.resize((23, 17), Image.Resampling.BILINEAR)))
    save("resize-rgba-97x80", np.asarray(alpha.resize((97, 80), Image.Resampling.BICUBIC)))
    for name, filter in {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}.items():
        for width, height in SIZES:
            if name == "area" and (width > 61 or height > 47):
                continue
            save(f"resize-cv-{name}-{width}x{height}", cv2.resize(levels, (width, height), interpolation=filter))


def recipes(levels):
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = Image.fromarray(levels)
    # torchvision: Resize(40), CenterCrop(32), ToTensor, Normalize
    resized = image.resize((int(40 * 61 / 47), 40), Image.Resampling.BILINEAR)
    left, top = int(round((resized.width - 32) / 2)), int(round((resized.height - 32) / 2))
    cropped = np.asarray(resized.crop((left, top, left + 32, top + 32)))
    save("recipe-imagenet", (((cropped / 255 - mean) / deviation).transpose(2, 0, 1)[None]).astype(np.float32))
    # EfficientNet-Lite: stretched, blue first, channels last here
    stretched = np.asarray(image.resize((24, 32), Image.Resampling.BICUBIC))
    save("recipe-stretch", ((stretched[None, :, :, ::-1].astype(np.float32) - 127) / 128).astype(np.float32))


def main():
    FOLDER.mkdir(exist_ok=True)
    levels = photo()
    save("photo", levels)
    jpegs(levels)
    orientations(levels)
    pngs(levels)
    resizes(levels)
    recipes(levels)


main()
