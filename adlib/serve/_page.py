"""The interface of the service as one page that needs no network and no script."""

from __future__ import annotations

from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto;
  padding: 0 1rem; color-scheme: light dark }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; padding: .7rem; border: 1px solid #8888; border-radius: 4px }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #8888; padding: .3rem .8rem .3rem 0; vertical-align: top }
"""


def page(schema: dict[str, Any]) -> str:
    """Return an OpenAPI schema as HTML."""
    about = schema["info"]
    parts = [
        f"<h1>{escape(about['title'])} {escape(about['version'])}</h1>",
        f"<pre>{escape(about['description'])}</pre>",
        '<p>For programs: <a href="openapi.json">openapi.json</a></p>',
    ]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            parts += _route(f"{method.upper()} {path}", route)
    parts.append("<h2>Objects</h2>")
    for name, kind in sorted(schema["components"]["schemas"].items()):
        rows = [
            (field, _type(value), value.get("description", ""))
            for field, value in kind.get("properties", {}).items()
        ]
        parts += [f'<h3 id="{escape(name)}">{escape(name)}</h3>']
        parts += [f"<p>{escape(kind.get('description', ''))}</p>", _table(rows)]
    head = f'<meta charset="utf-8"><title>{escape(about["title"])}</title>'
    head += '<meta name="viewport" content="width=device-width">'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _route(title: str, route: dict[str, Any]) -> list[str]:
    """Return a route: what it does, takes and answers."""
    rows = [
        (f"{one['name']} ({one['in']})", _type(one["schema"]), one.get("description"))
        for one in route.get("parameters", [])
    ]
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        rows.append(("body", kind, content["schema"].get("description")))
    for status, said in sorted(route["responses"].items()):
        kinds = [_type(one["schema"]) for one in said.get("content", {}).values()]
        rows.append((status, ", ".join(kinds), said["description"]))
    return [
        f"<h2><code>{escape(title)}</code></h2>",
        f"<p>{escape(route.get('description', ''))}</p>",
        _table(rows),
    ]


def _table(rows: list[tuple[str, str, str | None]]) -> str:
    cells = (
        f"<tr><td><code>{escape(name)}</code><td>{escape(kind)}"
        f"<td>{escape(about or '')}"
        for name, kind, about in rows
    )
    return f"<table>{''.join(cells)}</table>"


def _type(schema: dict[str, Any]) -> str:
    """Return the type of a value in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        inner = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"array of {_type(inner)}"
    return str(schema.get("type", ""))
