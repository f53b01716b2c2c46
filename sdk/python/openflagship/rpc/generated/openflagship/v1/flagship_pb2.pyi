from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_EXPOSURE: _ClassVar[EventKind]
    EVENT_KIND_CONVERSION: _ClassVar[EventKind]
    EVENT_KIND_METRIC: _ClassVar[EventKind]
    EVENT_KIND_USAGE: _ClassVar[EventKind]
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_EXPOSURE: EventKind
EVENT_KIND_CONVERSION: EventKind
EVENT_KIND_METRIC: EventKind
EVENT_KIND_USAGE: EventKind

class WatchRequest(_message.Message):
    __slots__ = ("last_version", "instance", "sdk")
    LAST_VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    last_version: int
    instance: str
    sdk: str
    def __init__(self, last_version: _Optional[int] = ..., instance: _Optional[str] = ..., sdk: _Optional[str] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("version", "kind", "document", "signatures", "age_seconds", "retry_milliseconds")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RETRY_MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    version: int
    kind: str
    document: bytes
    signatures: _containers.RepeatedScalarFieldContainer[str]
    age_seconds: float
    retry_milliseconds: int
    def __init__(self, version: _Optional[int] = ..., kind: _Optional[str] = ..., document: _Optional[bytes] = ..., signatures: _Optional[_Iterable[str]] = ..., age_seconds: _Optional[float] = ..., retry_milliseconds: _Optional[int] = ...) -> None: ...

class GetSnapshotRequest(_message.Message):
    __slots__ = ("if_none_match",)
    IF_NONE_MATCH_FIELD_NUMBER: _ClassVar[int]
    if_none_match: str
    def __init__(self, if_none_match: _Optional[str] = ...) -> None: ...

class GetSnapshotResponse(_message.Message):
    __slots__ = ("version", "etag", "document", "signatures", "age_seconds")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    version: int
    etag: str
    document: bytes
    signatures: _containers.RepeatedScalarFieldContainer[str]
    age_seconds: float
    def __init__(self, version: _Optional[int] = ..., etag: _Optional[str] = ..., document: _Optional[bytes] = ..., signatures: _Optional[_Iterable[str]] = ..., age_seconds: _Optional[float] = ...) -> None: ...

class IngestRequest(_message.Message):
    __slots__ = ("id", "kind", "body")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: EventKind
    body: bytes
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ..., body: _Optional[bytes] = ...) -> None: ...

class IngestResponse(_message.Message):
    __slots__ = ("id", "accepted", "rejected", "warnings", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    accepted: int
    rejected: _containers.RepeatedCompositeFieldContainer[EventRemark]
    warnings: _containers.RepeatedCompositeFieldContainer[EventRemark]
    error: ErrorBody
    def __init__(self, id: _Optional[str] = ..., accepted: _Optional[int] = ..., rejected: _Optional[_Iterable[_Union[EventRemark, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[EventRemark, _Mapping]]] = ..., error: _Optional[_Union[ErrorBody, _Mapping]] = ...) -> None: ...

class EventRemark(_message.Message):
    __slots__ = ("index", "code", "detail")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    index: int
    code: str
    detail: str
    def __init__(self, index: _Optional[int] = ..., code: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class EvaluateRequest(_message.Message):
    __slots__ = ("flag_key", "user_id", "attributes", "default_value", "source")
    FLAG_KEY_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    flag_key: str
    user_id: str
    attributes: _struct_pb2.Struct
    default_value: _struct_pb2.Value
    source: str
    def __init__(self, flag_key: _Optional[str] = ..., user_id: _Optional[str] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., default_value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., source: _Optional[str] = ...) -> None: ...

class EvaluateResponse(_message.Message):
    __slots__ = ("flag_key", "user_id", "variant", "value", "reason", "rule_id", "experiment", "error_code", "detail", "evaluation_id", "config_version", "stale")
    FLAG_KEY_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    flag_key: str
    user_id: str
    variant: str
    value: _struct_pb2.Value
    reason: str
    rule_id: str
    experiment: str
    error_code: str
    detail: str
    evaluation_id: str
    config_version: int
    stale: bool
    def __init__(self, flag_key: _Optional[str] = ..., user_id: _Optional[str] = ..., variant: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., reason: _Optional[str] = ..., rule_id: _Optional[str] = ..., experiment: _Optional[str] = ..., error_code: _Optional[str] = ..., detail: _Optional[str] = ..., evaluation_id: _Optional[str] = ..., config_version: _Optional[int] = ..., stale: _Optional[bool] = ...) -> None: ...

class EvaluateAllRequest(_message.Message):
    __slots__ = ("user_id", "attributes", "flag_keys", "source", "exposures")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    FLAG_KEYS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EXPOSURES_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    attributes: _struct_pb2.Struct
    flag_keys: _containers.RepeatedScalarFieldContainer[str]
    source: str
    exposures: str
    def __init__(self, user_id: _Optional[str] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., flag_keys: _Optional[_Iterable[str]] = ..., source: _Optional[str] = ..., exposures: _Optional[str] = ...) -> None: ...

class EvaluateAllResponse(_message.Message):
    __slots__ = ("user_id", "config_version", "flags")
    class FlagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EvaluateResponse
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EvaluateResponse, _Mapping]] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    config_version: int
    flags: _containers.MessageMap[str, EvaluateResponse]
    def __init__(self, user_id: _Optional[str] = ..., config_version: _Optional[int] = ..., flags: _Optional[_Mapping[str, EvaluateResponse]] = ...) -> None: ...

class ErrorBody(_message.Message):
    __slots__ = ("type", "errors", "request_id", "retry_after_seconds")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    type: str
    errors: _containers.RepeatedCompositeFieldContainer[Problem]
    request_id: str
    retry_after_seconds: int
    def __init__(self, type: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., request_id: _Optional[str] = ..., retry_after_seconds: _Optional[int] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("code", "detail", "attr")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ATTR_FIELD_NUMBER: _ClassVar[int]
    code: str
    detail: str
    attr: str
    def __init__(self, code: _Optional[str] = ..., detail: _Optional[str] = ..., attr: _Optional[str] = ...) -> None: ...
