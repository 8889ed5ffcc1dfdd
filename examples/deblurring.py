"""Sharpen a blurred sheet of handwritten digits by gradients through the blur.

    python examples/deblurring.py --picture sheet.png

A sheet of 96 digits, which tapegrad ships, is seen out of focus: blurred by a Gaussian, and with noise.
The sharp sheet is asked for. It is the one that, blurred in the same way, looks like what was seen, and
whose neighbouring pixels differ little: the second keeps what the noise has made of high frequencies
from coming back.

A blur is a product of spectra: gradients go through ``np.fft.rfft2``, the complex product and
``np.fft.irfft2``. The same function runs as it is and compiled.
"""

import argparse
import time
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.data import load_digits

ROWS, COLUMNS = 8, 12
WIDTH, NOISE, SMOOTH = 1.3, 0.01, 2e-3


def sheet() -> Any:
    """Return the first digits side by side, each with a margin."""
    images, _ = load_digits()
    tiles = images[: ROWS * COLUMNS].reshape(ROWS, COLUMNS, 8, 8) / 16.0
    tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return tiles.transpose(0, 2, 1, 3).reshape(ROWS * 10, COLUMNS * 10)


def blurred(image: Any, width: Any) -> Any:
    """Return an image that is blurred by a Gaussian, with periodic edges."""
    rows, columns = image.shape
    u, v = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)
    passed = np.exp(-2 * (np.pi * width) ** 2 * (u * u + v * v))
    return np.fft.irfft2(np.fft.rfft2(image) * passed, s=image.shape, axes=(0, 1))


def misfit(pixels: Any, seen: Any) -> Any:
    """Return the error of the blurred guess, and a penalty on steps between neighbours."""
    image = 1 / (1 + np.exp(-pixels))
    steps = [np.diff(image, axis=axis) ** 2 for axis in (0, 1)]
    rough = sum(np.sum(np.sqrt(s + 1e-4)) for s in steps)
    return np.sum((blurred(image, WIDTH) - seen) ** 2) + SMOOTH * rough


def fit(seen: Any, steps: int, *, compiled: bool) -> tuple[Any, list[float], float]:
    """Return the sharpened sheet, the errors, and the seconds for a step (of Adam)."""
    pixels = np.full(seen.shape, -2.0)
    function = tg.value_and_grad(misfit)
    function = tg.jit(function) if compiled else function
    mean, square = np.zeros(seen.shape), np.zeros(seen.shape)
    errors = []
    began = time.perf_counter()
    for step in range(1, steps + 1):
        error, gradient = function(pixels, seen)
        errors.append(float(error))
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        size = np.sqrt(square / (1 - 0.99**step)) + 1e-8
        pixels = pixels - 0.2 * mean / (1 - 0.9**step) / size
    took = (time.perf_counter() - began) / steps
    return 1 / (1 + np.exp(-pixels)), errors, took


def drawn(image: Any) -> str:
    """Return the upper left corner of a sheet as text."""
    shades = np.array(list(" .:-=+*#%@"))
    levels = np.clip(image[:10, :40] * 10, 0, 9).astype(int)
    return "\n".join("".join(np.repeat(shades[row], 2)) for row in levels)


def draw(path: str, sheets: dict[str, Any]) -> None:
    """Save a picture of the sheets."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure, axes = plt.subplots(1, len(sheets), figsize=(9, 2.6), layout="constrained")
    for ax, (name, image) in zip(axes, sheets.items()):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
        ax.set(title=name, xticks=[], yticks=[])
    figure.savefig(path)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Sharpen with the function as it is and compiled; print how they compare, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--picture", help="a file for the picture")
    chosen = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    sharp = sheet()
    seen = blurred(sharp, WIDTH) + rng.normal(0, NOISE, sharp.shape)
    runs = {}
    for name, compiled in {"as it is": False, "compiled": True}.items():
        image, errors, took = fit(seen, chosen.steps, compiled=compiled)
        left = float(np.mean((image - sharp) ** 2) / np.mean((seen - sharp) ** 2))
        runs[name] = {"errors": errors, "left": left}
        print(
            f"{name:9}  misfit {errors[0]:.1f} to {errors[-1]:.3f}  error of the sheet {left:.0%} of "
            f"what it was  {took * 1e3:.2f} ms a step"
        )
    sheets = {"seen": seen, "sharpened": image, "sharp": sharp}
    for what, picture in sheets.items():
        print(f"\n{what}\n{drawn(picture)}")
    if chosen.picture:
        draw(chosen.picture, sheets)
    return runs


if __name__ == "__main__":
    main()
