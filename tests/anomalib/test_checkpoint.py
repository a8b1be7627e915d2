"""read_checkpoint gives a detector that scores and draws as the model in the file.

The files are written here as anomalib 2.4 and 2.7 write them, without anomalib; where
it is installed, also by its own engine.
"""

from __future__ import annotations

import pickle
import sys
import tracemalloc
import warnings
import zipfile
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import v2

from adlib import PaDiM, PatchCore, load
from adlib.anomalib import read_checkpoint
from adlib.exceptions import ModelFileError
from adlib.features import Backbone
from tests.conftest import scratched, texture

needs_anomalib = pytest.mark.skipif(
    find_spec("anomalib") is None, reason="the extra anomalib is not installed"
)
NETWORK = "feature_extractor.feature_extractor."
LAYERS = ["blocks.2", "blocks.4"]
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
N_POSITIONS, N_FEATURES = 64, 12


def described(*steps):
    """Return a transform as anomalib 2.7 writes it."""
    parts = [
        {"class_path": f"torchvision.transforms.v2.{name}", "init_args": given}
        for name, given in steps
    ]
    inner = {"class_path": "torchvision.transforms.v2.Compose"}
    return {"transform": inner | {"init_args": {"transforms": parts}}}


RESIZE = ("Resize", {"size": [64, 64], "interpolation": "bilinear", "antialias": True})
NORMALIZE = ("Normalize", {"mean": MEAN, "std": STD, "inplace": False})


@pytest.fixture(scope="module")
def backbone():
    return Backbone(stages=(2, 3))


@pytest.fixture(scope="module")
def tensors(backbone):
    """What a fitted model of either kind holds, by name."""
    rng = torch.Generator().manual_seed(0)
    network = {NETWORK + name: part for name, part in backbone.state().items()}
    maps = [torch.rand(40, generator=rng), torch.rand(112, generator=rng)]
    bank = torch.cat(maps) + torch.rand(30, 152, generator=rng)
    factors = torch.rand(N_POSITIONS, N_FEATURES, N_FEATURES, generator=rng) / 3
    covariances = factors @ factors.mT + 0.01 * torch.eye(N_FEATURES)
    gaussians = {
        "gaussian.mean": torch.rand(N_FEATURES, N_POSITIONS, generator=rng),
        "gaussian.inv_covariance": torch.linalg.inv(covariances),
        "idx": torch.randperm(152, generator=rng)[:N_FEATURES],
    }
    return {"Patchcore": network | {"memory_bank": bank}, "Padim": network | gaussians}


def checkpoint(tensors, kind, **changes):
    """Return what a checkpoint of anomalib 2.7 holds."""
    state = {f"model.{name}": tensor for name, tensor in tensors[kind].items()}
    state["post_processor._image_threshold"] = torch.tensor(1.5)
    state["post_processor._pixel_threshold"] = torch.tensor(float("nan"))
    settings = {"backbone": "tf_efficientnet_lite0", "layers": LAYERS}
    if kind == "Patchcore":
        settings |= {"num_neighbors": 5, "coreset_sampling_ratio": 0.25}
    held = {
        "epoch": 0,
        "state_dict": state,
        "hyper_parameters": settings,
        "anomalib_pre_processor_config": described(RESIZE, NORMALIZE),
    }
    return held | changes


@pytest.fixture(params=["Patchcore", "Padim"])
def kind(request):
    return request.param


@pytest.fixture
def file(tensors, kind, tmp_path):
    torch.save(checkpoint(tensors, kind), tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


@pytest.fixture
def images():
    """Four images of another size than the model's, (4, 96, 80, 3)."""
    grey = [texture(90 + i, 96)[:, :80] for i in range(3)] + [scratched(9, 96)[:, :80]]
    return np.stack([np.stack([one, one[::-1], 255 - one], axis=2) for one in grey])


def as_anomalib_scores(images, tensors, kind, backbone):
    """Return image scores and maps by the formulas, one image at a time."""
    scores, maps = [], []
    for image in images:
        plane = torch.from_numpy(image).permute(2, 0, 1) / 255
        plane = v2.functional.resize(plane, [64, 64], antialias=True)
        # The backbone normalises by its own numbers, the model by others.
        own = backbone.normalisation
        shift = [torch.tensor(part).view(3, 1, 1) for part in (MEAN, STD, *own)]
        plane = (plane - shift[0]) / shift[1] * shift[3] + shift[2]
        found = backbone(plane[None])
        score, drawn = SCORED[kind](found, tensors[kind])
        maps.append(blurred(drawn)[0, 0].numpy())
        scores.append(float(maps[-1].max() if score is None else score))
    return np.array(scores), np.stack(maps)


def patchcore_scores(found, tensors):
    means = [F.avg_pool2d(one, 3, 1, 1) for one in found]
    means[1] = F.interpolate(means[1], (8, 8), mode="bilinear")
    patches = torch.cat(means, dim=1)[0].flatten(1).T.double()
    bank = tensors["memory_bank"].double()
    distances = (patches[:, None] - bank).norm(dim=2)
    worst = int(distances.min(dim=1).values.argmax())
    nearest = int(distances[worst].argmin())
    around = (bank - bank[nearest]).norm(dim=1).argsort()[:5]
    share = torch.softmax((patches[worst] - bank[around]).norm(dim=1), 0)[0]
    grid = distances.min(dim=1).values.view(1, 1, 8, 8).float()
    return (1 - share) * distances[worst, nearest], F.interpolate(grid, (64, 64))


def padim_scores(found, tensors):
    stages = [found[0], F.interpolate(found[1], (8, 8))]
    features = torch.cat(stages, dim=1)[0].flatten(1)[tensors["idx"]]
    apart = (features - tensors["gaussian.mean"]).T.double()
    inverses = tensors["gaussian.inv_covariance"].double()
    squared = torch.einsum("pi,pij,pj->p", apart, inverses, apart)
    grid = squared.sqrt().view(1, 1, 8, 8).float()
    return None, F.interpolate(grid, (64, 64), mode="bilinear")


SCORED = {"Patchcore": patchcore_scores, "Padim": padim_scores}


def blurred(plane):
    line = torch.exp(-((torch.arange(33.0) - 16) ** 2) / 32)
    kernel = torch.outer(line, line) / line.sum() ** 2
    return F.conv2d(F.pad(plane, (16,) * 4, mode="reflect"), kernel[None, None])


def test_scores_and_maps_are_those_of_the_formulas(
    file, kind, images, tensors, backbone
):
    model = read_checkpoint(file, device="cpu")
    expected, maps = as_anomalib_scores(images, tensors, kind, backbone)
    np.testing.assert_allclose(model.score(images), expected, rtol=1e-4)
    np.testing.assert_allclose(model.anomaly_maps(images), maps, rtol=1e-4)


def test_what_is_read_is_a_detector_as_any_other(file, kind, images, tmp_path):
    model = read_checkpoint(file)
    assert type(model) is {"Patchcore": PatchCore, "Padim": PaDiM}[kind]
    assert (model.threshold_, model.pixel_threshold_) == (1.5, 1.5)
    assert "by another library" in model.describe()["threshold"]
    assert (model.predict(images) == np.where(model.score(images) > 1.5, -1, 1)).all()
    model.save(tmp_path / "part.adlib")
    again = load(tmp_path / "part.adlib")
    np.testing.assert_array_equal(again.score(images), model.score(images))
    np.testing.assert_array_equal(
        again.anomaly_maps(images), model.anomaly_maps(images)
    )
    with pytest.raises(ValueError, match="leave_one_out_scores"):
        model.leave_one_out_scores(images)


def test_a_memory_bank_may_still_grow(tensors, images, tmp_path):
    torch.save(checkpoint(tensors, "Patchcore"), tmp_path / "model.ckpt")
    model = read_checkpoint(tmp_path / "model.ckpt")
    assert (model.coreset, model.n_patches_) == (0.25, 120)
    model.partial_fit(images)
    assert len(model.memory_bank_) == (120 + 4 * 64) // 4


def test_images_that_came_later_are_forgotten_and_those_of_the_file_are_not(
    tensors, images, tmp_path
):
    torch.save(checkpoint(tensors, "Patchcore"), tmp_path / "model.ckpt")
    model = read_checkpoint(tmp_path / "model.ckpt")
    (told,) = model.training_images_
    with pytest.raises(ValueError, match="entries of other images are left"):
        model.forget([told])
    rows = model.memory_bank_.embeddings
    model.coreset = 1.0  # all entries stay, those of the file first
    model.partial_fit(images)
    model.forget([f"image {i}" for i in range(len(images))])
    assert model.training_images_ == [told]
    np.testing.assert_array_equal(
        np.sort(model.memory_bank_.embeddings, 0), np.sort(rows, 0)
    )


def test_good_images_are_accepted_where_one_neighbour_counts(tensors, images, tmp_path):
    held = checkpoint(tensors, "Patchcore")
    torch.save(held, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="aggregation of PatchCore"):
        read_checkpoint(tmp_path / "model.ckpt").accept(images, by="Ada")
    held["hyper_parameters"]["num_neighbors"] = 1
    torch.save(held, tmp_path / "model.ckpt")
    model = read_checkpoint(tmp_path / "model.ckpt")
    assert (model.predict(images) == -1).all()
    assert (model.accept(images, by="Ada").predict(images) == 1).all()
    assert model.threshold_ == 1.5


def test_one_neighbour_means_the_highest_patch_score(tensors, tmp_path):
    held = checkpoint(tensors, "Patchcore")
    held["hyper_parameters"]["num_neighbors"] = 1
    torch.save(held, tmp_path / "model.ckpt")
    assert read_checkpoint(tmp_path / "model.ckpt").aggregation == "max"


def test_the_default_transform_and_no_threshold(tensors, tmp_path):
    held = checkpoint(tensors, "Patchcore")
    del held["anomalib_pre_processor_config"]
    held["hyper_parameters"]["pre_processor"] = True
    for kind in ("image", "pixel"):
        held["state_dict"].pop(f"post_processor._{kind}_threshold")
    torch.save(held, tmp_path / "model.ckpt")
    model = read_checkpoint(tmp_path / "model.ckpt")
    assert (model.image_size, model.threshold_) == ((256, 256), None)
    assert model.backbone_.normalisation.mean == (0.485, 0.456, 0.406)


@pytest.fixture
def strangers(monkeypatch):
    """Classes of a module that is there while a file is written, and gone after."""
    module = ModuleType("gone_since")

    class Module(torch.nn.Module):
        """Stands in for anomalib's modules."""

    for name in ("PreProcessor", "Lightning", "Model"):
        kind = type(name, (Module,), {"__module__": "gone_since", "__qualname__": name})
        setattr(module, name, kind)
    monkeypatch.setitem(sys.modules, "gone_since", module)
    return module


def pre_processor(strangers):
    found = strangers.PreProcessor()
    resize = v2.Resize((64, 64), antialias=True)
    found.transform = v2.Compose([resize, v2.Normalize(MEAN, STD)])
    return found


def test_objects_in_a_checkpoint_are_read_without_their_classes(
    strangers, file, kind, tensors, images, tmp_path, monkeypatch
):
    held = checkpoint(tensors, kind)  # as anomalib 2.4 writes it
    del held["anomalib_pre_processor_config"]
    held["hyper_parameters"]["pre_processor"] = pre_processor(strangers)
    torch.save(held, tmp_path / "with_objects.ckpt")
    monkeypatch.delitem(sys.modules, "gone_since")
    found = read_checkpoint(tmp_path / "with_objects.ckpt").score(images)
    np.testing.assert_array_equal(found, read_checkpoint(file).score(images))


def test_a_torch_export_is_read_without_its_classes(
    strangers, file, kind, tensors, backbone, images, tmp_path, monkeypatch
):
    held = checkpoint(tensors, kind)
    whole, inner = strangers.Lightning(), strangers.Model()
    inner.__dict__ |= held["hyper_parameters"]
    whole.coreset_sampling_ratio = 0.25
    for name, tensor in tensors[kind].items():
        part, *path = inner, *name.split(".")
        for step in path[:-1]:
            if step not in part._modules:
                part.add_module(step, torch.nn.Module())
            part = part._modules[step]
        part.register_buffer(path[-1], tensor)
    whole.model, whole.pre_processor = inner, pre_processor(strangers)
    torch.save({"model": whole}, tmp_path / "model.pt")
    monkeypatch.delitem(sys.modules, "gone_since")
    found = read_checkpoint(tmp_path / "model.pt")
    np.testing.assert_array_equal(
        found.score(images), read_checkpoint(file).score(images)
    )
    assert found.threshold_ is None


class Evil:
    """What runs code when a pickle is loaded as pickles are."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def test_code_in_a_file_is_not_run(tensors, tmp_path):
    held = checkpoint(tensors, "Padim", callbacks=Evil(tmp_path / "ran"))
    torch.save(held, tmp_path / "model.ckpt")
    read_checkpoint(tmp_path / "model.ckpt")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "model.ckpt", weights_only=False)
    assert (tmp_path / "ran").exists()  # as it would otherwise


def state(name, change):
    return lambda held: held["state_dict"].update(
        {name: change(held["state_dict"][name])}
    )


def setting(**values):
    return lambda held: held["hyper_parameters"].update(values)


def transform(*steps):
    value = described(*steps)
    return lambda held: held.update({"anomalib_pre_processor_config": value})


CROP = ("CenterCrop", {"size": [56, 56]})
FIRST = ("Resize", {**RESIZE[1], "size": [96, 96]})
SHORTER = ("Resize", {**RESIZE[1], "size": [64]})
NEAREST = ("Resize", {**RESIZE[1], "interpolation": "nearest"})
ALIASED = ("Resize", {**RESIZE[1], "antialias": False})
GREY = ("Normalize", {"mean": [0.5], "std": [0.5]})
REFUSED = [
    ("Patchcore", transform(RESIZE, CROP, NORMALIZE), r"does no more.*CenterCrop"),
    ("Patchcore", transform(SHORTER), r"resizes images to \(height, width\)"),
    ("Patchcore", transform(NEAREST), "bilinearly"),
    ("Patchcore", transform(ALIASED), "antialiased"),
    ("Patchcore", transform(NORMALIZE), "Normalize"),
    ("Patchcore", transform(FIRST, RESIZE, NORMALIZE), r"no more.*Resize\(\[64, 64\]"),
    ("Patchcore", transform(RESIZE, NORMALIZE, FIRST), r"no more.*Resize\(\[96, 96\]"),
    ("Patchcore", transform(RESIZE, NORMALIZE, NORMALIZE), "no more.*Normalize"),
    ("Patchcore", setting(num_neighbors=0), "n_neighbors of PatchCore"),
    ("Patchcore", transform(RESIZE, GREY), r"normalise them.*\(0\.5,\)"),
    ("Patchcore", transform(), "no more; this file has none"),
    ("Patchcore", setting(backbone=3), "backbone is the name of a timm network"),
    ("Patchcore", setting(backbone="my_net"), "name of a timm network.*my_net"),
    ("Patchcore", setting(backbone="resnet18", layers=["layer2"]), "weights of resn"),
    ("Patchcore", setting(layers=["blocks.9"]), "layers of blocks.0, .*in this order"),
    ("Patchcore", setting(layers=LAYERS[::-1]), "in this order"),
    ("Patchcore", setting(layers=LAYERS[:1]), r"bank\.embeddings"),
    ("Patchcore", state("model.memory_bank", lambda bank: bank[:0]), "as fit leaves"),
    ("Patchcore", state("model.memory_bank", lambda bank: bank / 0), "finite numbers"),
    ("Patchcore", transform(("Resize", {**RESIZE[1], "size": ["a", 1]})), "ValueError"),
    ("Patchcore", transform(RESIZE, ("Normalize", {})), "damaged .KeyError: 'mean'"),
    ("Patchcore", setting(coreset_sampling_ratio=0), "damaged .ZeroDivisionError"),
    ("Patchcore", setting(num_neighbors=None), "not what anomalib writes.*TypeError"),
    ("Patchcore", state("model.memory_bank", lambda bank: bank[0, 0]), "TypeError"),
    ("Patchcore", lambda held: held.update(hyper_parameters=[]), "AttributeError"),
    ("Patchcore", lambda held: held["state_dict"].update({3: 1}), "AttributeError"),
    ("Padim", transform(("Resize", {**RESIZE[1], "size": [96, 96]})), "at 144 posit"),
    ("Padim", state("model.idx", lambda idx: idx + 150), "ascending numbers"),
    (
        "Padim",
        state("model.gaussian.inv_covariance", lambda m: -m),
        "positive definite",
    ),
    ("Padim", lambda held: held["state_dict"].pop("model.gaussian.mean"), "gaussian"),
    ("Padim", lambda held: held.update(state_dict={}), "has none of their tensors"),
    ("Padim", lambda held: held.pop("state_dict"), "what Lightning or anomalib's"),
]
RARER = [pytest.param(*one, marks=pytest.mark.slow) for one in REFUSED[1:-1]]


@pytest.mark.parametrize(
    ("kind", "change", "fragment"), [REFUSED[0], REFUSED[-1], *RARER]
)
def test_what_adlib_has_not_is_refused(kind, change, fragment, tensors, tmp_path):
    held = checkpoint(tensors, kind)
    change(held)
    torch.save(held, tmp_path / "model.ckpt")
    with pytest.raises(ModelFileError, match=fragment):
        read_checkpoint(tmp_path / "model.ckpt")


def test_other_files_are_refused(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("no zip")
    with pytest.raises(ModelFileError, match=r"text\.ckpt.*not a file that torch.save"):
        read_checkpoint(tmp_path / "text.ckpt")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="or it is damaged"):
        read_checkpoint(file)


def rewritten(path, change=None, method=zipfile.ZIP_STORED):
    """Write a file's archive again, its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, part in parts.items():
            is_pickle = change is not None and name.endswith("data.pkl")
            archive.writestr(name, change if is_pickle else part)


def test_files_that_state_more_than_they_hold_take_no_memory(tensors, tmp_path):
    path, held = tmp_path / "model.ckpt", checkpoint(tensors, "Patchcore")
    row = tensors["Patchcore"]["memory_bank"][:1]
    held["state_dict"]["model.memory_bank"] = row.expand(10**12, -1)
    torch.save(held, path)
    with pytest.raises(ModelFileError, match="one that repeats its numbers"):
        read_checkpoint(path)
    torch.save(checkpoint(tensors, "Patchcore"), path)
    rewritten(path, method=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match=r"is not what torch\.save writes"):
        read_checkpoint(path)
    remembered_as = (2**23).to_bytes(4, "little")
    rewritten(path, change=b"N" + pickle.LONG_BINPUT + remembered_as + b".")
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="NoneType"):
        read_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_parameters_are_read_as_tensors(tensors, images, tmp_path):
    held = checkpoint(tensors, "Patchcore")
    torch.save(held, tmp_path / "tensor.ckpt")
    bank = held["state_dict"]["model.memory_bank"]
    held["state_dict"]["model.memory_bank"] = torch.nn.Parameter(bank)
    torch.save(held, tmp_path / "parameter.ckpt")
    found = [read_checkpoint(tmp_path / f"{k}.ckpt") for k in ("tensor", "parameter")]
    np.testing.assert_array_equal(found[1].score(images), found[0].score(images))


def test_torchscript_is_refused(tmp_path):
    with warnings.catch_warnings(action="ignore"):
        scripted = torch.jit.script(torch.nn.Identity())
        torch.jit.save(scripted, tmp_path / "model.pt")
    with pytest.raises(ModelFileError, match=r"not what torch\.save writes"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of images, and anomalib's two models trained on them by its engine."""
    root = tmp_path_factory.mktemp("anomalib")
    for folder, make, seeds in (
        ("good", texture, range(20)),
        ("bad", scratched, range(30, 40)),
    ):
        (root / folder).mkdir()
        for seed in seeds:
            image = Image.fromarray(make(seed, 96)[:, :80]).convert("RGB")
            image.save(root / folder / f"{seed}.png")
    with warnings.catch_warnings(action="ignore"):
        from anomalib.data import Folder
        from anomalib.engine import Engine
        from anomalib.models import Padim, Patchcore

        found = {}
        for kind, given in ((Patchcore, {"layers": ["layer2", "layer3"]}), (Padim, {})):
            data = Folder(
                name="tiny",
                root=root,
                normal_dir="good",
                abnormal_dir="bad",
                num_workers=0,
            )
            size = kind.configure_pre_processor(image_size=(64, 64))
            model = kind("resnet18", pre_trained=False, pre_processor=size, **given)
            engine = Engine(
                default_root_dir=root / "results",
                accelerator="cpu",
                logger=False,
                enable_progress_bar=False,
            )
            engine.fit(model, datamodule=data)
            paths = sorted((root / "bad").glob("*.png"))
            export = model.to_torch(root / kind.__name__)
            saved = engine.trainer.checkpoint_callback.best_model_path
            found[kind.__name__] = model.eval(), saved, export, paths
    return found


@needs_anomalib
@pytest.mark.slow
@pytest.mark.parametrize("form", ["checkpoint", "export"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_scores_are_those_of_anomalibs_own_model(form, kind, trained):
    from anomalib.data.utils import read_image

    theirs, checkpoint, export, paths = trained[kind]
    own = read_checkpoint(checkpoint if form == "checkpoint" else export, device="cpu")
    batch = torch.stack([read_image(path, as_tensor=True) for path in paths])
    with torch.no_grad():
        expected = theirs.model(theirs.pre_processor.transform(batch))
    scores = expected.pred_score.reshape(-1).numpy()
    np.testing.assert_allclose(own.score(paths), scores, rtol=1e-5)
    maps = expected.anomaly_map[:, 0].numpy()
    np.testing.assert_allclose(own.anomaly_maps(paths), maps, rtol=1e-3)
    threshold = theirs.post_processor.image_threshold.item()
    assert own.threshold_ == threshold
    clear = np.abs(scores - threshold) > 1e-4 * threshold  # it is one of the scores
    labels = np.where(scores > threshold, -1, 1)
    np.testing.assert_array_equal(own.predict(paths)[clear], labels[clear])
