"""Images a second, decoded and ready for a network: adlib beside what people write.

    python benchmarks/loading.py FOLDER [--image-size 320] [--limit 320] [--enlarged 16]

Measures the images as they are, and some of them enlarged and saved as grey and RGB PNG
of 1024x1024 and JPEG of 2048x2048 pixels. All end with batches of (n, 3, side, side)
float32 in [0, 1]. Every loader runs with one and with two workers, in turn, in one
process, several times over; the best time of each counts. Needs opencv-python-headless
for its rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import io, transforms

from adlib.datasets import MVTecDataset, get_clean_transforms
from adlib.images import open_source, read_batches
from adlib.images._decode import SUFFIXES

BATCH = 16
WORKERS = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--limit", type=int, default=320, help="images at most")
    parser.add_argument("--enlarged", type=int, default=16, help="images of each kind")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    paths = sorted(p for p in given.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    paths = paths[: given.limit]
    torch.set_num_threads(1)  # a loader must not take the network's threads
    loaders = {
        "adlib: estimators' own reader (threads)": with_adlib,
        "adlib: MVTecDataset in a DataLoader (processes)": with_mvtec_dataset,
        "PIL and torchvision in a DataLoader (processes)": with_torchvision,
        "PIL and torchvision in threads": with_torchvision_threads,
        "torchvision's decoders in threads": with_torchvision_decoders,
    }
    try:
        import cv2

        cv2.setNumThreads(1)
        loaders["OpenCV in threads"] = with_opencv
    except ImportError:
        print("opencv-python-headless is not installed: no rows of OpenCV")
    measure(f"{len(paths)} images of {given.folder}", paths, loaders, given)
    with tempfile.TemporaryDirectory() as folder:
        for mode in ("L", "RGB"):
            for side, suffix in ((1024, "png"), (2048, "jpg")):
                kind = f"{mode} {suffix} of {side}x{side}"
                large = enlarged(paths[: given.enlarged], side, mode, suffix, folder)
                measure(f"{len(large)} enlarged to {kind}", large, loaders, given)


def enlarged(
    paths: list[Path], side: int, mode: str, suffix: str, folder: str
) -> list[Path]:
    """Save real images in another size and format."""
    saved = []
    for number, path in enumerate(paths):
        saved.append(Path(folder, f"{mode}{side}_{number}.{suffix}"))
        image = Image.open(path).convert(mode)
        image.resize((side, side), Image.Resampling.BICUBIC).save(saved[-1])
    return saved


def measure(title: str, paths: list[Path], loaders: dict, given) -> None:
    best: dict[tuple[str, int], float] = {}
    for _ in range(given.repeats):
        for name, loader in loaders.items():
            for n_workers in WORKERS:
                started = time.perf_counter()
                n_images = sum(map(len, loader(paths, given.image_size, n_workers)))
                seconds = time.perf_counter() - started
                assert n_images == len(paths)
                key = name, n_workers
                best[key] = min(best.get(key, np.inf), seconds)
    print(f"\n{title}, to {given.image_size} pixels")
    print("| images a second | 1 worker | 2 workers |\n|---|---|---|")
    for name in loaders:
        rates = [len(paths) / best[name, n_workers] for n_workers in WORKERS]
        print(f"| {name} | {rates[0]:.0f} | {rates[1]:.0f} |", flush=True)


def with_adlib(paths: list[Path], side: int, n_workers: int) -> Iterator[np.ndarray]:
    source = open_source(paths, "loading")
    for batch in read_batches(
        source, image_size=(side, side), batch_size=BATCH, n_workers=n_workers
    ):
        yield batch.images


def with_mvtec_dataset(
    paths: list[Path], side: int, n_workers: int
) -> Iterator[torch.Tensor]:
    dataset = MVTecDataset(paths, None, get_clean_transforms(side), "train")
    for batch in DataLoader(dataset, BATCH, num_workers=n_workers):
        yield batch.image


class PlainDataset(Dataset):
    """What most scripts have."""

    def __init__(self, paths: list[Path], side: int) -> None:
        self.paths = paths
        self.transform = transforms.Compose(
            [transforms.Resize((side, side)), transforms.ToTensor()]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def with_torchvision(
    paths: list[Path], side: int, n_workers: int
) -> Iterator[torch.Tensor]:
    yield from DataLoader(PlainDataset(paths, side), BATCH, num_workers=n_workers)


def with_torchvision_threads(
    paths: list[Path], side: int, n_workers: int
) -> Iterator[torch.Tensor]:
    dataset = PlainDataset(paths, side)
    images = in_threads(dataset.__getitem__, range(len(paths)), n_workers)
    yield from batched(images, torch.stack)


def with_torchvision_decoders(
    paths: list[Path], side: int, n_workers: int
) -> Iterator[torch.Tensor]:
    shrink = transforms.Resize((side, side))

    def load(path: Path) -> torch.Tensor:
        return shrink(io.decode_image(str(path), io.ImageReadMode.RGB)) / 255

    yield from batched(in_threads(load, paths, n_workers), torch.stack)


def with_opencv(paths: list[Path], side: int, n_workers: int) -> Iterator[np.ndarray]:
    import cv2

    def load(path: Path) -> np.ndarray:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        # INTER_AREA: like the others, and unlike OpenCV's default, without aliasing.
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        return small.transpose(2, 0, 1).astype(np.float32) / np.float32(255)

    yield from batched(in_threads(load, paths, n_workers), np.stack)


def in_threads(load: Callable, items, n_workers: int) -> Iterator:
    with ThreadPoolExecutor(n_workers) as pool:
        yield from pool.map(load, items)


def batched(images: Iterator, stack: Callable) -> Iterator:
    waiting: list = []
    for image in images:
        waiting.append(image)
        if len(waiting) == BATCH:
            yield stack(waiting)
            waiting = []
    if waiting:
        yield stack(waiting)


if __name__ == "__main__":
    main()
