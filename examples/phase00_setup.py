"""Phase 0: the machine, the configuration, and data that is whole.

    python examples/phase00_setup.py [--data ROOT] [--classes NAME ...]

Without an argument it builds the demo set: real textures with synthetic defects. For
MVTec AD, run `adlib data download mvtec-ad --classes hazelnut carpet zipper`.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

import json
from pathlib import Path

from adlib.datasets import verify
from adlib.study import config_from_arguments, data_root, environment, set_seed

config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
outputs = config.paths.outputs / "phase00"
outputs.mkdir(parents=True, exist_ok=True)

# %%
# What the results will depend on, kept beside them.

machine = environment()
for name, value in machine.items():
    print(f"{name:>14}  {value}")
(outputs / "environment.json").write_text(json.dumps(machine, indent=1) + "\n")
(outputs / "config.json").write_text(config.model_dump_json(indent=1) + "\n")

# %%
# The data: every image decoded once, every mask held against its image.

root = data_root(config)
report = verify(root, config.data.classes)
print(f"\n{root}, laid out as {report.layout}")
for found in report.classes:
    print(
        f"  {found.class_name}: {found.n_train} to train with; to test with "
        f"{found.n_test_good} good and {found.n_test_anomalous} anomalous; "
        f"{found.n_masks} masks"
    )
    print(f"    defect types: {', '.join(found.defect_types) or 'none'}")
for problem in report.problems:
    print(f"  {problem.severity}: {problem.path} {problem.text}. {problem.remedy}")
if not report.sound:
    raise SystemExit("The data is not whole: mend what is listed above.")
n_equal = sum(problem.kind == "duplicate image" for problem in report.problems)
check = {"layout": report.layout, "n_equal_images": n_equal}
(outputs / "data_check.json").write_text(json.dumps(check, indent=1) + "\n")
print(f"The data is whole. Written to {outputs}.")
