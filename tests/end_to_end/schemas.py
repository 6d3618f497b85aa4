"""JSON schemas of all kinds that clients send for structured output."""

from typing import Any

Schema = dict[str, Any]

STRINGS: list[Schema] = [
    {"type": "string"},
    {"type": "string", "maxLength": 12},
    {"type": "string", "minLength": 3, "maxLength": 8},
    {"type": "string", "pattern": "^[a-z]{2,6}$"},
    {"type": "string", "pattern": "^#{3,5}$"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "enum": ["###", "# # #", "yes"]},
    {"const": "a ### b"},
]
NUMBERS: list[Schema] = [
    {"type": "integer"},
    {"type": "integer", "minimum": 0},
    {"type": "integer", "maximum": -5},
    {"type": "integer", "minimum": 1, "maximum": 10},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"enum": [1, 2.5, 3]},
    {"type": "boolean"},
    {"type": "null"},
]


def _object(required: bool = True, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required else [],
        "additionalProperties": False,
    }


OBJECTS: list[Schema] = [_object(answer=schema) for schema in (*STRINGS, *NUMBERS)]
NESTED: list[Schema] = [
    _object(),
    _object(required=False, a={"type": "integer"}, b={"type": "boolean"}),
    _object(a=_object(b=_object(c={"type": "integer"}))),
    _object(a={"type": "array", "items": {"type": "integer"}, "maxItems": 3}),
    _object(a={"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2, "maxItems": 2}),
    _object(a={"type": "array", "items": _object(b={"type": "boolean"}), "maxItems": 2}),
    _object(a={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    _object(a={"anyOf": [{"type": "string", "maxLength": 5}, {"type": "boolean"}]}),
    _object(a={"type": ["integer", "null"]}),
    {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 4},
    {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "integer"}], "items": False},
    {"anyOf": [_object(a={"type": "boolean"}), _object(b={"type": "integer"})]},
    {"$defs": {"n": {"type": "integer"}}, **_object(a={"$ref": "#/$defs/n"})},
    {
        "$defs": {"tree": _object(value={"type": "boolean"}, child={"anyOf": [{"type": "null"}]})},
        **_object(a={"$ref": "#/$defs/tree"}),
    },
]
SCHEMAS = [*STRINGS, *NUMBERS, *OBJECTS, *NESTED]
