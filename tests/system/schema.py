#!/usr/bin/python3
"""schema.py FOLDER NAME: is standard input one JSON document as FOLDER/NAME.json says?

A key that the schema does not name is an error here: what is printed is documented. Programs that read squall's JSON are to
ignore keys that they do not know, and the schemas bear them, except where this test closes its copies.
"""
import json
import pathlib
import sys

import jsonschema


def close(schema):
    """Every object that says nothing of further keys shall have none."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def main(folder, name):
    store = {}
    for path in pathlib.Path(folder).glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        store[path.resolve().as_uri()] = close(schema)
    uri = (pathlib.Path(folder) / f"{name}.json").resolve().as_uri()
    resolver = jsonschema.RefResolver(uri, store[uri], store=store)
    document = json.loads(sys.stdin.read())
    errors = list(jsonschema.Draft202012Validator(store[uri], resolver=resolver).iter_errors(document))
    for error in errors:
        best = jsonschema.exceptions.best_match([error])
        print(f"{name}: {best.json_path}: {best.message[:300]}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
