"""`proto/`: linted, unbroken since it was published, the same as the code made of it, and flagd's own to the number."""

import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from openflagship.rpc.generate import generate
from openflagship.rpc.generated.flagd.evaluation.v1 import evaluation_pb2 as v1
from openflagship.rpc.generated.flagd.evaluation.v2 import evaluation_pb2 as v2

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "sdk" / "python" / "openflagship" / "rpc" / "generated"
BUF = Path(sys.executable).with_name("buf")
# In a process of its own: the provider's generated code and ours have the same names.
_PUBLISHED = """
from google.protobuf import descriptor_pb2
from openfeature.schemas.protobuf.flagd.evaluation.v1 import evaluation_pb2 as v1
from openfeature.schemas.protobuf.flagd.evaluation.v2 import evaluation_pb2 as v2
for version in (v1, v2):
    found = descriptor_pb2.FileDescriptorProto()
    version.DESCRIPTOR.CopyToProto(found)
    found.name = ""
    print(found.SerializeToString(deterministic=True).hex())
"""


def _buf(*arguments):
    return subprocess.run([BUF, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def test_proto__buf__finds_nothing_and_no_caller_is_broken():
    for command in (["lint", "proto"], ["format", "--exit-code", "-d", "proto"]):
        done = _buf(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    done = _buf("breaking", "proto", "--against", "proto/published.binpb")
    assert done.returncode == 0, done.stdout + done.stderr


def test_generated__made_again__is_the_same(tmp_path):
    generate(ROOT / "proto", tmp_path)

    def under(folder):
        made = (path for path in folder.rglob("*.py*") if "__pycache__" not in path.parts)
        return {path.relative_to(folder): path.read_text() for path in made}

    assert under(tmp_path) == under(GENERATED)


def test_flagd__our_files__describe_what_the_provider_from_pypi_carries():
    theirs = subprocess.run(
        [sys.executable, "-c", _PUBLISHED], capture_output=True, text=True, timeout=200, check=True
    ).stdout.split()
    ours = []
    for version in (v1, v2):
        found = FileDescriptorProto()
        version.DESCRIPTOR.CopyToProto(found)
        ours.append(_without_order(found))
    assert ours == [_without_order(FileDescriptorProto.FromString(bytes.fromhex(text))) for text in theirs]


def _without_order(file):
    """The messages and methods by name, and the options."""
    messages = {one.name: one.SerializeToString(deterministic=True) for one in file.message_type}
    methods = {one.name: (one.input_type, one.output_type, one.server_streaming) for one in file.service[0].method}
    return file.package, messages, methods, file.service[0].name, file.options.SerializeToString(deterministic=True)
