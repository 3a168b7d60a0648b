#!/usr/bin/env python3
"""Makes pictures of text and what rapidocr-onnxruntime (1.4.4; OpenCV 5.0) reads in them, as the oracle of TextRecognizer.

    python3 -m pip install rapidocr-onnxruntime==1.4.4 pillow manimgx-fonts-cjk
    python3 Tests/SwiftletVisionTests/Scripts/make_text_vectors.py

Fonts: DejaVu of Debian's fonts-dejavu-core, and Noto Sans CJK of manimgx-fonts-cjk.

Vectors/text-NAME.png   pictures
Vectors/text.json       of each: the lines as rapidocr-onnxruntime finds them; rectangles around drawn regions; boxes of crops
Vectors/text-crop-N.npy what OpenCV makes of those boxes of photo.npy
"""
import json
import pathlib
import sys

import cv2
import numpy as np
import pyclipper
from PIL import Image, ImageDraw, ImageFont
from rapidocr_onnxruntime import RapidOCR

FOLDER = pathlib.Path(__file__).parent.parent / "Vectors"
DEJAVU = pathlib.Path("/usr/share/fonts/truetype/dejavu")


def font(size, name="DejaVuSans.ttf"):
    return ImageFont.truetype(str(DEJAVU / name), size)


def chinese(size):
    for folder in map(pathlib.Path, sys.path):
        for file in sorted(folder.glob("*fonts_cjk*/**/*.[ot]t[cf]")):
            return ImageFont.truetype(str(file), size, index=2 if file.suffix == ".ttc" else 0)
    raise SystemExit("Install manimgx-fonts-cjk.")


def page(width, height, lines, background="white", ink="black", mode="RGB"):
    image = Image.new(mode, (width, height), background)
    draw = ImageDraw.Draw(image)
    for x, y, text, face in lines:
        draw.text((x, y), text, fill=ink, font=face)
    return image


def pictures():
    sans, bold = font(22), font(30, "DejaVuSans-Bold.ttf")
    lines = [(20, 16, "Swiftlet reads text", bold), (20, 70, "Two words", sans), (230, 72, "and more", sans),
             (20, 112, "Total: 1,234.56 EUR", font(22, "DejaVuSansMono.ttf")), (20, 160, "small print, 14 pixels high", font(14))]
    plain = page(420, 200, lines)
    yield "lines", plain
    yield "dark", page(420, 120, [(24, 20, "White on dark blue", bold), (24, 70, "second line 0123456789", sans)], (16, 24, 60), (240, 240, 235))
    yield "rotated", page(420, 320, [(90, 110, "A tilted line", bold), (90, 170, "of text: 15 degrees", sans)]).rotate(
        15, resample=Image.Resampling.BICUBIC, fillcolor="white")
    yield "upside-down", plain.rotate(180)
    yield "standing", page(300, 60, [(20, 10, "Upward text", bold)]).rotate(90, expand=True)
    yield "flat", page(900, 40, [(10, 6, "A long line of text on a banner that is much wider than it is high", font(24))])
    yield "tiny", page(110, 20, [(4, 2, "tiny picture", font(14))])
    yield "large", page(2400, 600, [(200, 120, "Large letters", font(160, "DejaVuSerif.ttf")), (220, 400, "smaller ones below", font(64))]).convert("L")
    yield "chinese", page(420, 180, [(20, 16, "文字识别：图片中的文本", chinese(32)), (20, 76, "价格 128 元", chinese(28)),
                                    (20, 128, "English 和中文 mixed", chinese(24))])
    noise = np.random.default_rng(3).normal(128, 8, (60, 80, 3))
    y, x = np.mgrid[0:60, 0:80]
    yield "nothing", Image.fromarray(np.clip(noise + (x * 0.2 - y * 0.1)[..., None], 0, 255).astype(np.uint8))
    many = [(12 + 130 * (i % 3), 10 + 34 * (i // 3), f"{word} {i}", font(16 + i % 4 * 2)) for i, word in enumerate(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda my".split())]
    yield "many", page(420, 160, many, (230, 225, 210), (40, 20, 10))


def recognized(engine, path):
    result, _ = engine(str(path))
    return [{"box": [[float(v) for v in point] for point in box], "text": text, "confidence": float(score)} for box, text, score in result or []]


def geometry():
    """Regions drawn into maps: the rectangles OpenCV and pyclipper make of them."""
    generator = np.random.default_rng(5)
    cases = []
    for _ in range(24):
        mask = np.zeros((96, 128), np.uint8)
        center, size, angle = generator.uniform([35, 30], [95, 66]), generator.uniform([20, 6], [60, 24]), generator.uniform(-90, 90)
        cv2.fillPoly(mask, [cv2.boxPoints((center, size, angle)).astype(np.int32)], 1)
        contour = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
        corners, (_, sides, _) = cv2.boxPoints(cv2.minAreaRect(contour)), cv2.minAreaRect(contour)
        distance = float(generator.uniform(2, 14))
        offset = pyclipper.PyclipperOffset()
        offset.AddPath(corners, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        grown = cv2.boxPoints(cv2.minAreaRect(np.array(offset.Execute(distance)).reshape(-1, 1, 2)))
        score_mask = np.zeros_like(mask)
        cv2.fillPoly(score_mask, [corners.astype(np.int32)], 1)
        cases.append({"points": contour.reshape(-1, 2).tolist(), "corners": corners.tolist(), "sides": sides, "distance": distance,
                      "grown": grown.tolist(), "covered": int(score_mask.sum())})
    return cases


def crops():
    """Boxes of photo.npy, straightened as rapidocr-onnxruntime does it."""
    photo = np.load(FOLDER / "photo.npy")
    boxes = [[[5, 7], [45, 7], [45, 30], [5, 30]], [[10, 5], [50, 12], [47, 34], [7, 27]], [[3, 20], [30, 3], [55, 28], [28, 44]],
             [[0, 0], [60, 0], [55, 46], [5, 40]], [[20, 2], [28, 4], [24, 44], [15, 43]]]
    for index, box in enumerate(boxes):
        points = np.array(box, np.float32)
        sides = [float(np.linalg.norm(points[a] - points[b])) for a, b in ((0, 1), (2, 3), (0, 3), (1, 2))]
        width, height = int(max(sides[:2])), int(max(sides[2:]))
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        crop = cv2.warpPerspective(
            photo, cv2.getPerspectiveTransform(points, corners), (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC)
        np.save(FOLDER / f"text-crop-{index}.npy", crop)
    return boxes


def main():
    engine = RapidOCR()
    expected = {}
    for name, image in pictures():
        path = FOLDER / f"text-{name}.png"
        image.save(path, optimize=True)
        expected[name] = recognized(engine, path)
        print(name, image.size, path.stat().st_size, [line["text"] for line in expected[name]])
    (FOLDER / "text.json").write_text(
        json.dumps({"pictures": expected, "geometry": geometry(), "crops": crops()}, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
