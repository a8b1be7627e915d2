"""Phase 0: the machine, the configuration, and data that is whole.

Without an argument it builds the demo set: real textures with synthetic defects. For
MVTec AD, run `adlib data download mvtec-ad --classes hazelnut carpet zipper`.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from adlib.datasets import verify
from adlib.study import set_seed
from adlib.study._data import data_root
from adlib.study._phase import Phase, environment
from adlib.study._tables import write_json

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)

# %%
# What the results will depend on, kept beside them.

machine = environment()
for name, value in machine.items():
    print(f"{name:>14}  {value}")
write_json(machine, phase.folder / "environment.json")
write_json(phase.config.model_dump(mode="json"), phase.folder / "config.json")

# %%
# The data: every image decoded once, every mask held against its image.

report = verify(data_root(phase.config), phase.config.data.classes)
print(f"\n{data_root(phase.config)}, laid out as {report.layout}")
for row in report.classes:
    print("  " + ", ".join(f"{what}: {of}" for what, of in row.items()))
for problem in report.problems:
    print(f"  {problem.severity}: {problem.path} {problem.text}. {problem.remedy}")
if not report.sound:
    raise SystemExit("The data is not whole: mend what is listed above.")
n_equal = sum(problem.kind == "duplicate image" for problem in report.problems)
check = {"layout": report.layout, "n_equal_images": n_equal}
write_json(check, phase.folder / "data_check.json")
print(f"The data is whole. Written to {phase.folder}.")
