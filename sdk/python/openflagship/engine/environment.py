"""A compiled environment: immutable and readable from any thread. A change makes a new one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from openflagship.engine.answer import FLAG_NOT_FOUND, GENERAL, PARSE_ERROR, Answer, failure
from openflagship.engine.compile import FlagCode, Memo, SegmentCode, recall
from openflagship.engine.context import Context
from openflagship.engine.decode import CONTRACT, snapshot_problems
from openflagship.engine.decode_flag import read_flag
from openflagship.engine.decode_tree import read_segment
from openflagship.engine.explain import Explanation, TraceStep, explain
from openflagship.engine.links import prerequisite_graph
from openflagship.engine.model import (
    NOT_UNDERSTOOD_FAULTS,
    BucketBy,
    FlagDefinition,
    Node,
    conditions_of,
    segment_keys_of,
)
from openflagship.engine.problems import DecodeError, DocumentProblem, Problems
from openflagship.engine.runtime import Evaluator, Evaluators, Links, NotUnderstoodError, Segments, unit_of


class _Filed:
    """A document under its key, stored as text: that takes a tenth of the memory of objects."""

    __slots__ = ("key", "problems", "text")

    def __init__(self, key: str, document: Any) -> None:
        self.key = key
        self.problems: tuple[DocumentProblem, ...] = ()
        try:
            self.text = canonical(document)
        except (TypeError, ValueError, RecursionError):
            # A snapshot cannot hold this value; reading it reports it as broken.
            self.text = "null"

    @property
    def document(self) -> Any:
        """A copy of the given document, with unknown fields."""
        return json.loads(self.text)


def canonical(document: Any) -> str:
    """JSON with sorted keys and no spaces. It escapes only what it must, such as half of a surrogate pair."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":"), sort_keys=True)
    return text


def _under(key: str, document: Any) -> Any:
    """The document with the key under which it stands, in case it names another."""
    return {**document, "key": key} if isinstance(document, dict) and document.get("key") != key else document


def _is_understood(tree: Node) -> bool:
    return all(condition.fault not in NOT_UNDERSTOOD_FAULTS for condition in conditions_of(tree))


class CompiledFlag(_Filed):
    """A flag of an environment, and what serves it.

    A document that is not understood (unknown operator, type or shape) leaves the last version that was: `is_held`.
    Its kill switch is obeyed all the same. Without such a version `config` and `code` are None; see `problems`.
    """

    __slots__ = ("bucket_by", "code", "config", "is_held", "is_understood", "type", "understood")

    def __init__(self, key: str, document: Any, environment_salt: str, previous: CompiledFlag | None = None) -> None:
        document = _under(key, document)
        super().__init__(key, document)
        problems = Problems()
        config = read_flag(document, problems)
        self.problems = tuple(problems.found)
        self.is_understood = config is not None and all(map(_is_understood, config.trees()))
        self.understood: FlagDefinition | None = None if previous is None else previous.understood
        if self.is_understood:
            self.understood = config
        self.is_held = False
        if config is None:
            config = _killed(document)
        elif not self.is_understood and config.kill_switch_variant is None and config.enabled:
            config = None
        if config is None and self.understood is not None:
            self.is_held = True
            config = replace(self.understood, kill_switch_variant=None)
        self.config = config
        self.bucket_by: BucketBy = "userId" if config is None else config.bucket_by
        self.type = None if config is None else config.type
        self.code = None if config is None else FlagCode(config, environment_salt, is_held=self.is_held)


def _killed(document: Any) -> FlagDefinition | None:
    """What of an unreadable flag its kill switch needs, where that is on and can be read."""
    if not isinstance(document, dict) or document.get("killSwitchVariant") is None:
        return None
    needed = {name: document.get(name) for name in ("key", "type", "variants", "killSwitchVariant")}
    return read_flag(needed, Problems())


class CompiledSegment(_Filed):
    """A segment of an environment, and what serves it.

    As for flags, a document that is not understood leaves the last version that was (`is_held`); without one, `code` is
    None, and a flag that asks for the segment cannot be evaluated.
    """

    __slots__ = ("code", "is_held", "is_understood")

    def __init__(self, key: str, document: Any, previous: CompiledSegment | None = None) -> None:
        document = _under(key, document)
        super().__init__(key, document)
        problems = Problems()
        config = read_segment(document, problems)
        self.problems = tuple(problems.found)
        self.is_understood = config is not None and (config.conditions is None or _is_understood(config.conditions))
        self.code: SegmentCode | None = None
        if self.is_understood and config is not None:
            self.code = SegmentCode(config)
        elif previous is not None:
            self.code = previous.code
        self.is_held = self.code is not None and not self.is_understood


class CompiledEnvironment:
    """Evaluates an environment's flags. Build it with `from_document`, follow changes with `replace`.

    Values of json flags are the configuration's own objects, and frozen. `evaluators` has each flag's function.
    """

    __slots__ = ("_bulk", "_meta", "evaluators", "flags", "segments", "stale", "version")

    flags: Mapping[str, CompiledFlag]
    segments: Mapping[str, CompiledSegment]
    version: int
    stale: bool

    def __init__(
        self,
        meta: Mapping[str, Any],
        flags: dict[str, CompiledFlag],
        segments: dict[str, CompiledSegment],
        evaluators: Evaluators,
    ) -> None:
        self._meta = meta
        self.evaluators = evaluators
        self._bulk: _Bulk | None = None
        self.flags = MappingProxyType(flags)
        self.segments = MappingProxyType(segments)
        self.version = evaluators.version
        self.stale = evaluators.stale

    @classmethod
    def from_document(cls, document: Any) -> CompiledEnvironment:
        """Compiles a snapshot. A flag that is not understood answers PARSE_ERROR, everything else is served; a process
        that served before asks `keeping` for the versions it had.

        Raises DecodeError only where the document as a whole is no snapshot, or needs a later contract.
        """
        problems = snapshot_problems(document)
        if problems:
            raise DecodeError(problems)
        meta = document.get("environment") or {}
        salt = _salt_of(meta)
        flags = {key: CompiledFlag(key, flag, salt) for key, flag in document.get("flags", {}).items()}
        segments = {key: CompiledSegment(key, segment) for key, segment in document.get("segments", {}).items()}
        codes = _flag_codes(flags)
        evaluators = Evaluators(codes, _members(segments), _links(codes), document["version"], False)
        return cls(meta, flags, segments, evaluators)

    def prepare(self) -> CompiledEnvironment:
        """Generate and bind every flag's function now, not at its first evaluation. Returns the environment.

        Worth it ahead of traffic: a flag of ten rules takes up to a millisecond the first time, a new version of the
        environment some microseconds per flag.
        """
        self._plan()
        return self

    def evaluate(self, key: str, context: Context, default: Any = None) -> Answer:
        """The answer for one flag; without one, the caller's default with reason ERROR. Never raises."""
        try:
            return self.evaluators[key](context)
        except Exception as error:  # noqa: BLE001 the contract: any exception gives the caller's default
            return self.failure(key, default, error)

    def evaluate_all(self, context: Context, keys: Iterable[str] | None = None) -> dict[str, Answer]:
        """The answers of all flags, or of the named ones. Each (salt, unit) is hashed once. Never raises.

        A key that is no text can name no flag, and is left out.
        """
        bulk = self._plan()
        if keys is None:
            try:
                answers = {key: function(context) for key, function in bulk.plain}
                memo: Memo = {}
                for key, function in bulk.linked:
                    answers[key] = recall(function, context, memo)
            except Exception:  # noqa: BLE001 one flag fails: the others still answer, each by itself
                return {key: self.evaluate(key, context) for key in self.flags}
            for key in self.flags.keys() - answers.keys():
                answers[key] = self.evaluate(key, context)
            return answers
        memo = {}
        answers = {}
        for key in keys:
            if not isinstance(key, str):
                continue
            try:
                function = self.evaluators[key]
                answers[key] = recall(function, context, memo) if key in bulk.linked_keys else function(context)
            except Exception as error:  # noqa: BLE001 as in evaluate
                answers[key] = self.failure(key, None, error)
        return answers

    def explain(self, key: str, context: Context, default: Any = None) -> Explanation:
        """The answer and every step to it. A failed evaluation names the step that failed. Never raises."""
        answer = self.evaluate(key, context, default)
        flag = self.flags.get(key) if isinstance(key, str) else None
        facts = {"errorCode": answer.error_code, "detail": answer.detail}
        if flag is not None and flag.config is not None and answer.error_code is None:
            try:
                return explain(self.evaluators, flag.config, context, answer)
            except Exception as error:  # noqa: BLE001 a trace looks at more than the answer needed, and may trip over it
                facts = {"errorCode": GENERAL, "detail": type(error).__name__}
        return Explanation(str(key), None, answer, (TraceStep("error", True, facts),))

    def unit(self, key: str, context: Context) -> str | None:
        """The unit that the flag hashes for this context; None without one, or for an unknown flag."""
        flag = self.flags.get(key)
        return None if flag is None else unit_of(flag.bucket_by, context)

    def replace(
        self,
        version: int,
        flags: Mapping[str, Any] | None = None,
        segments: Mapping[str, Any] | None = None,
    ) -> CompiledEnvironment:
        """A new environment with these documents in place of the old ones; None removes one. All else is shared."""
        old = self.evaluators
        new_flags, codes, links = dict(self.flags), old.codes, old.links
        if flags:
            salt = _salt_of(self._meta)
            for key, document in flags.items():
                if document is None:
                    new_flags.pop(key, None)
                else:
                    new_flags[key] = CompiledFlag(key, document, salt, new_flags.get(key))
            codes = _flag_codes(new_flags)
            links = _links(codes)
        new_segments, members = dict(self.segments), old.segments
        if segments:
            for key, document in segments.items():
                if document is None:
                    new_segments.pop(key, None)
                else:
                    new_segments[key] = CompiledSegment(key, document, new_segments.get(key))
            members = _members(new_segments)
        return CompiledEnvironment(
            self._meta, new_flags, new_segments, Evaluators(codes, members, links, version, self.stale)
        )

    def keeping(self, previous: CompiledEnvironment) -> CompiledEnvironment:
        """This environment, with the versions that `previous` understood of what is not understood here."""
        salt = _salt_of(self._meta)
        flags = {
            key: CompiledFlag(key, flag.document, salt, previous.flags[key])
            for key, flag in self.flags.items()
            if not flag.is_understood and key in previous.flags
        }
        segments = {
            key: CompiledSegment(key, segment.document, previous.segments[key])
            for key, segment in self.segments.items()
            if segment.code is None and key in previous.segments
        }
        if not flags and not segments:
            return self
        all_flags, all_segments = {**self.flags, **flags}, {**self.segments, **segments}
        codes = _flag_codes(all_flags)
        evaluators = Evaluators(codes, _members(all_segments), _links(codes), self.version, self.stale)
        return CompiledEnvironment(self._meta, all_flags, all_segments, evaluators)

    @property
    def not_understood(self) -> tuple[str, ...]:
        """Keys of the flags whose present version this engine cannot serve, for the acknowledgement to report."""
        segments = self.evaluators.segments
        unclear = segments.held | segments.broken
        return tuple(
            key
            for key, flag in sorted(self.flags.items())
            if not flag.is_understood or (unclear and not unclear.isdisjoint(_segments_of(flag.config)))
        )

    def with_staleness(self, stale: bool) -> CompiledEnvironment:
        """The same configuration with answers that are marked stale, or not."""
        if stale == self.stale:
            return self
        old = self.evaluators
        evaluators = Evaluators(old.codes, old.segments, old.links, old.version, stale)
        return CompiledEnvironment(self._meta, dict(self.flags), dict(self.segments), evaluators)

    def document(self) -> dict[str, Any]:
        """The environment's snapshot: `from_document` makes an equal environment from it."""
        return {
            "contract": CONTRACT,
            "environment": self.header,
            "version": self.version,
            "flags": {key: self.flags[key].document for key in sorted(self.flags)},
            "segments": {key: self.segments[key].document for key in sorted(self.segments)},
        }

    @property
    def header(self) -> dict[str, Any]:
        """The `environment` member of `document`; the rest is not read."""
        return dict(self._meta)

    def text(self) -> str:
        """`document` as canonical JSON, joined from the stored texts without parsing."""
        flags = ",".join(f"{canonical(key)}:{self.flags[key].text}" for key in sorted(self.flags))
        segments = ",".join(f"{canonical(key)}:{self.segments[key].text}" for key in sorted(self.segments))
        return (
            f'{{"contract":{CONTRACT},"environment":{canonical(self.header)},"flags":{{{flags}}},'
            f'"segments":{{{segments}}},"version":{self.version}}}'
        )

    def _plan(self) -> _Bulk:
        if self._bulk is None:
            self._bulk = _Bulk(self.evaluators)
        return self._bulk

    def failure(self, key: Any, default: Any, error: Exception) -> Answer:
        flag = self.flags.get(key) if isinstance(key, str) else None
        if flag is None:
            return failure(default, FLAG_NOT_FOUND, None, self.version, self.stale)
        if flag.config is None:
            first = flag.problems[0]
            return failure(default, PARSE_ERROR, f"{first.path}: {first.message}", self.version, self.stale)
        if isinstance(error, NotUnderstoodError):
            return failure(default, PARSE_ERROR, str(error), self.version, self.stale)
        return failure(default, GENERAL, type(error).__name__, self.version, self.stale)


class _Bulk:
    """The plan for all flags at once: which are called alone, and which share a hash or an answer."""

    __slots__ = ("linked", "linked_keys", "plain")

    def __init__(self, evaluators: Evaluators) -> None:
        codes = evaluators.codes
        uses = Counter((code.config.bucket_by, salt) for code in codes.values() for salt in code.salts)
        self.linked_keys = frozenset(
            key
            for key, code in codes.items()
            if code.config.prerequisites
            or key in evaluators.links.asked_for
            or any(uses[code.config.bucket_by, salt] > 1 for salt in code.salts)
        )
        bound: list[tuple[str, Evaluator]] = []
        for key in codes:
            # A flag that cannot be bound answers GENERAL by itself.
            with suppress(Exception):
                bound.append((key, evaluators[key]))
        self.plain = tuple(item for item in bound if item[0] not in self.linked_keys)
        self.linked = tuple(item for item in bound if item[0] in self.linked_keys)


def _segments_of(config: FlagDefinition | None) -> Iterator[str]:
    for tree in () if config is None else config.trees():
        yield from segment_keys_of(tree)


def _salt_of(meta: Mapping[str, Any]) -> str:
    salt = meta.get("salt")
    return salt if isinstance(salt, str) else ""


def _flag_codes(flags: Mapping[str, CompiledFlag]) -> dict[str, FlagCode]:
    return {key: flag.code for key, flag in flags.items() if flag.code is not None}


def _members(segments: Mapping[str, CompiledSegment]) -> Segments:
    codes = {key: segment.code for key, segment in segments.items() if segment.code is not None}
    held = [key for key, segment in segments.items() if segment.is_held]
    return Segments(codes, held, broken=segments.keys() - codes.keys())


def _links(codes: Mapping[str, FlagCode]) -> Links:
    return Links(prerequisite_graph(code.config for code in codes.values()))
