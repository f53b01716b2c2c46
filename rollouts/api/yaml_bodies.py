"""YAML bodies, read as strictly as JSON: a plan that is kept as a file beside the code."""

from collections.abc import Hashable
from typing import Any, Final

import yaml
from rest_framework.parsers import BaseParser

from tenancy.errors import Invalid, PayloadTooLarge
from tenancy.refusals import number_problems

_MOST_BYTES: Final = 262_144
# The longest form of a number that 64 bits hold is the binary one. The work on a longer one grows with its square.
_MOST_DIGITS: Final = 80
_TAG: Final = "tag:yaml.org,2002:"
# What JSON has. Without the others an instant is text, and no body holds sets, bytes or merged maps.
_KINDS: Final = frozenset(f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map"))


class YamlParser(BaseParser):
    media_type = "application/yaml"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:  # noqa: ARG002 - DRF's signature
        content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise PayloadTooLarge(f"A plan has at most {_MOST_BYTES:,} bytes.")
        try:
            return yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader, see below
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
            raise Invalid(f"This is no YAML: {str(error)[:200]}", code="parse_error") from error
        except LookupError as error:
            # So the constructors fail on a value that is not of the kind that its tag names.
            raise Invalid("This is no YAML: a value does not fit its tag.", code="parse_error") from error


class _Loader(yaml.SafeLoader):
    """Safe, and without aliases, which a few bytes can blow up."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _refused("expected a mapping", node)
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _refused("a key is text; put it in quotes", key_node)
            if key in found:
                raise _refused(f"the key {key[:60]!r} appears twice", key_node)
            found[key] = self.construct_object(value_node, deep=deep)
        return found

    def construct_number(self, node: yaml.ScalarNode) -> float:
        """Refuse what 64 bits do not hold."""
        if len(node.value) > _MOST_DIGITS:
            raise _refused("a number is too long", node)
        is_whole = node.tag == f"{_TAG}int"
        number: float = self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)
        for problem in number_problems("", number):
            raise _refused(problem.detail, node)
        return number


def _refused(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in listed if tag in _KINDS]
    for first, listed in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag is None or tag in _KINDS
} | {f"{_TAG}{kind}": _Loader.construct_number for kind in ("int", "float")}
