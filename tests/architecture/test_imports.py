"""A package imports only from those above it, at the top of the file, and never in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "nacre"

# Each line may import from the lines above it, and from its own package. Names on one line do not
# import from each other.
LEVELS = [
    ["core"],
    ["kernels"],
    ["activations", "initializers", "regularizers"],
    ["ops"],
    ["losses"],
    ["metrics"],
    ["optimizers"],
    ["layers"],
    ["datasets"],
    ["utils"],
    ["data"],
    ["saving"],
    ["training"],
    ["models"],
    ["applications", "interop", "search", "inspection", "distribute"],
]

# Public faces: they re-export what users import, and nothing in the library imports them.
FACES = {"callbacks", "config", "mixed_precision", "random", "demo", "cli", "__main__", "__init__"}

OPTIONAL = {"sklearn", "PIL", "matplotlib", "h5py", "onnx", "optuna", "orbax", "grain", "IPython"}


def files():
    return sorted(ROOT.rglob("*.py"))


def package(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path):
    """Each imported module, and whether the import stands inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((name, id(node) in inside) for name in names)


def level(name):
    return next((i for i, line in enumerate(LEVELS) if name in line), None)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_package_imports_only_from_those_above_it(path):
    own = package(path)
    if own in FACES:
        return
    assert level(own) is not None, f"{own} has no place in the layout"
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "nacre" or len(parts) < 2 or parts[1] == own:
            continue
        target = level(parts[1])
        assert target is not None, f"{path.name} imports {module}, which is a public face"
        assert target < level(own), f"{path.name} imports {module}, which is not above {own}"


# rich is needed only when something is drawn, and Optax only by code that uses it: together they
# would double the time that importing nacre takes.
LAZY = OPTIONAL | {"rich", "optax"}


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_stand_at_the_top(path):
    if package(path) in FACES:
        return
    for module, inside in imports(path):
        if inside:
            assert module.split(".")[0] in LAZY, f"{path.name} imports {module} in a function"


def test_importing_nacre_imports_nothing_heavy():
    heavy = sorted({"keras", "torch", "tensorflow", "pandas", "rich", "optax"} | OPTIONAL)
    code = f"import sys, nacre; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
