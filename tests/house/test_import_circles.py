"""No module of the toolkit needs itself to be imported: imports at module level form no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "toolkit"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: no function's, and none that only a type checker sees."""
    for node in body:
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for part in ("body", "orelse", "finalbody"):
            if part == "body" and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                continue
            yield from at_import(getattr(node, part, []))
        for caught in getattr(node, "handlers", []):
            yield from at_import(caught.body)


def imports(source: str, module: str, known: set[str]) -> set[str]:
    """The toolkit's modules that importing ``module`` imports."""
    found = set()
    for node in at_import(ast.parse(source).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in whole}
    return (found & known) - {module}


def circle(sources: Mapping[str, str]) -> list[str] | None:
    """One circle of modules, first and last the same; None when there is none."""
    known = set(sources)
    graph = {name: imports(source, name, known) for name, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


def test_the_toolkit_has_no_circle_of_imports() -> None:
    sources = {module_name(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    assert len(sources) > 300
    assert circle(sources) is None


@pytest.mark.parametrize(
    "back",
    [
        "import t.a",
        "from t.a import x",
        "from t import a",
        "try:\n    import t.a\nexcept ImportError:\n    pass",
        "class C:\n    from t.a import x",
        "if True:\n    from t.a import x",
    ],
)
def test_a_circle_is_found(back: str) -> None:
    found = circle({"t": "", "t.a": "from t.b import y", "t.b": "import t.c", "t.c": back})
    assert found is not None
    assert set(found) == {"t.a", "t.b", "t.c"}


@pytest.mark.parametrize(
    "back",
    [
        "def f():\n    from t.a import x",
        "if TYPE_CHECKING:\n    from t.a import x",
        "if typing.TYPE_CHECKING:\n    from t.a import x",
        "import t.d",
        "import tt.a",
    ],
)
def test_what_does_not_run_at_import_is_no_circle(back: str) -> None:
    assert circle({"t": "", "t.a": "from t.b import y", "t.b": back, "t.d": ""}) is None
