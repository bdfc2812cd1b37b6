# SPDX-License-Identifier: Apache-2.0
"""Terraform's providers for tests: the published schemas, and a cloud that makes whatever it is told.

Terraform talks to a provider by gRPC (https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol,
version 6), and takes one that runs already from TF_REATTACH_PROVIDERS. So the real Terraform checks the modules against
the schemas in `schemas.json`, plans and applies them: expressions are evaluated, types compared, and what it would have
asked of the cloud is known. What a cloud computes (ids, ARNs) gets a value that says what it is.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCHEMAS = Path(__file__).resolve().parent / "schemas.json"

_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "bool": _FIELD.TYPE_BOOL,
    "int64": _FIELD.TYPE_INT64,
}
_MESSAGES: Mapping[str, str] = {
    "Value": "1 bytes msgpack",
    "Diagnostic": "1 int64 severity, 2 string summary, 3 string detail",
    "Attribute": "1 string name, 2 bytes type, 4 bool required, 5 bool optional, 6 bool computed",
    "Nested": "1 string type_name, 2 Block block, 3 int64 nesting, 4 int64 min_items, 5 int64 max_items",
    "Block": "2 *Attribute attributes, 3 *Nested block_types",
    "Schema": "1 int64 version, 2 Block block",
    "Named": "1 string key, 2 Schema value",
    "Raw": "1 bytes json",
    "Empty": "",
    "Schemas": "1 Schema provider, 2 *Named resources, 3 *Named data",
    "ConfigRequest": "1 Value config",
    "TypedConfigRequest": "1 string type_name, 2 Value config",
    "ConfigureRequest": "1 string terraform_version, 2 Value config",
    "UpgradeRequest": "1 string type_name, 2 int64 version, 3 Raw raw_state",
    "ReadRequest": "1 string type_name, 2 Value current_state",
    "PlanRequest": "1 string type_name, 2 Value prior_state, 3 Value proposed_new_state, 4 Value config",
    "ApplyRequest": "1 string type_name, 2 Value prior_state, 3 Value planned_state, 4 Value config",
    "StateResponse": "1 Value state",
    "Diagnosed": "1 *Diagnostic diagnostics",
    "PlanResponse": "1 Value planned_state, 4 *Diagnostic diagnostics",
}
"""What is used of the protocol's messages: number, type and name of each field; `*` is a list. Names do not travel."""

_NESTING = {"single": (1, 1), "one": (2, 1), "list": (2, 0), "set": (3, 0)}
"""The protocol's number of each nesting, and how many blocks there can be; 0 = any number."""

_NAMES = ("name", "bucket", "account_id", "role_id", "workload_identity_pool_id", "url")
"""Attributes that a resource is known by, as one of its kind."""

_UNKNOWN = msgpack.ExtType(0, b"\x00")


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="lkcloud/tests/tfplugin6.proto", package="tfplugin6", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, kind, word in (one.split() for one in fields.split(", ") if one):
            plain = kind.lstrip("*")
            label = _FIELD.LABEL_REPEATED if kind != plain else _FIELD.LABEL_OPTIONAL
            added = message.field.add(name=word, number=int(number), label=label)
            if plain in _KINDS:
                added.type = _KINDS[plain]
            else:
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".tfplugin6.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tfplugin6.{name}")) for name in _MESSAGES
    }


_M = _messages()


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that Terraform has made: its type, and all of its attributes and blocks."""

    type: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What the cloud answers where a test looks at it.

    DATA are the attributes of data sources, by type. COMPUTED are those of resources by `TYPE.ATTRIBUTE`, with places
    for other attributes.
    """

    data: Mapping[str, Mapping[str, Any]]
    computed: Mapping[str, str]


@dataclass
class Provider:
    """One provider: its schemas, and what was made."""

    name: str
    schemas: Mapping[str, Any]
    known: Known
    made: list[Made] = field(default_factory=list)

    def schema(self) -> Any:
        """Return all schemas, as the protocol has them."""
        resources = [_M["Named"](key=key, value=_schema(one)) for key, one in self.schemas["resource"].items()]
        data = [_M["Named"](key=key, value=_schema(one)) for key, one in self.schemas["data"].items()]
        own = {"attributes": {name: ["dynamic", "o"] for name in self.schemas["provider"]}, "blocks": {}}
        if "features" in self.schemas["provider"]:
            del own["attributes"]["features"]
            own["blocks"]["features"] = {"nesting": "one", "required": False, "attributes": {}, "blocks": {}}
        return _M["Schemas"](provider=_schema(own), resources=resources, data=data)

    def plan(self, request: Any) -> Any:
        """Let what the cloud computes be unknown, unless it is given or was there before."""
        wanted, prior = _unpacked(request.proposed_new_state), _unpacked(request.prior_state)
        if wanted is not None:
            for name, (_, flags) in self.schemas["resource"][request.type_name]["attributes"].items():
                if "c" in flags and wanted[name] is None:
                    wanted[name] = _UNKNOWN if prior is None else prior[name]
        return _M["PlanResponse"](planned_state=_packed(wanted))

    def apply(self, request: Any) -> Any:
        """Make it: what is unknown gets a value."""
        wanted = _unpacked(request.planned_state)
        if wanted is not None:
            given = {key: value for key, value in wanted.items() if not isinstance(value, msgpack.ExtType)}
            name = next((str(given[key]) for key in _NAMES if given.get(key)), "it")
            for key in wanted.keys() - given.keys():
                kind = self.schemas["resource"][request.type_name]["attributes"][key][0]
                form = self.known.computed.get(f"{request.type_name}.{key}")
                wanted[key] = form.format(**given) if form else _invented(request.type_name, name, key, kind)
            self.made.append(Made(request.type_name, wanted))
        return _M["StateResponse"](state=_packed(wanted))

    def read_data(self, request: Any) -> Any:
        """Answer a data source."""
        answer = {**_unpacked(request.config), **self.known.data.get(request.type_name, {})}
        for key, (kind, flags) in self.schemas["data"][request.type_name]["attributes"].items():
            if "c" in flags and answer[key] is None:
                answer[key] = _invented(request.type_name, "it", key, kind)
        return _M["StateResponse"](state=_packed(answer))

    @staticmethod
    def upgrade(request: Any) -> Any:
        """Return the state as it is: it is always of this version."""
        return _M["StateResponse"](state=_packed(json.loads(request.raw_state.json)))

    @staticmethod
    def read(request: Any) -> Any:
        """Return what is there: nobody else changes it."""
        return _M["StateResponse"](state=request.current_state)

    def handlers(self) -> dict[str, tuple[str, Callable[[Any], Any]]]:
        """Return for each method its request's message and what answers it."""

        def fine(_request: Any) -> Any:
            return _M["Diagnosed"]()

        return {
            "GetProviderSchema": ("Empty", lambda _: self.schema()),
            "ValidateProviderConfig": ("ConfigRequest", fine),
            "ValidateResourceConfig": ("TypedConfigRequest", fine),
            "ValidateDataResourceConfig": ("TypedConfigRequest", fine),
            "ConfigureProvider": ("ConfigureRequest", fine),
            "UpgradeResourceState": ("UpgradeRequest", self.upgrade),
            "ReadResource": ("ReadRequest", self.read),
            "PlanResourceChange": ("PlanRequest", self.plan),
            "ApplyResourceChange": ("ApplyRequest", self.apply),
            "ReadDataSource": ("TypedConfigRequest", self.read_data),
            "StopProvider": ("Empty", fine),
        }


def _schema(described: Mapping[str, Any]) -> Any:
    return _M["Schema"](block=_block(described))


def _block(described: Mapping[str, Any]) -> Any:
    attributes = [
        _M["Attribute"](
            name=name,
            type=json.dumps(kind).encode(),
            required="r" in flags,
            optional="o" in flags,
            computed="c" in flags,
        )
        for name, (kind, flags) in described["attributes"].items()
    ]
    nested = []
    for name, one in described["blocks"].items():
        nesting, most = _NESTING[one["nesting"]]
        least = 1 if one["required"] else 0
        limits = {} if nesting == 1 else {"min_items": least, "max_items": most}
        nested.append(_M["Nested"](type_name=name, block=_block(one), nesting=nesting, **limits))
    return _M["Block"](attributes=attributes, block_types=nested)


def _unpacked(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False) if value.msgpack else None


def _packed(value: Any) -> Any:
    return _M["Value"](msgpack=msgpack.packb(value, use_bin_type=True))


def _invented(type_name: str, name: str, key: str, kind: Any) -> Any:
    """Return a value of KIND that says what it is, for what the cloud computes."""
    if kind == "string":
        return f"{type_name}:{name}:{key}"
    if kind == "number":
        return 1
    if kind == "bool":
        return False
    if kind[0] == "object":
        return {word: _invented(type_name, name, f"{key}.{word}", one) for word, one in kind[1].items()}
    if kind[0] == "map":
        return {}
    return [_invented(type_name, name, key, kind[1])] if isinstance(kind[1], list) else []


@dataclass(frozen=True, slots=True)
class Providers:
    """All providers, by name; REATTACH is what Terraform finds them by."""

    by_name: Mapping[str, Provider]
    reattach: str

    def made(self, type_name: str) -> list[Mapping[str, Any]]:
        """Return the resources of a type that were made, in order."""
        return [one.values for provider in self.by_name.values() for one in provider.made if one.type == type_name]

    def forget(self) -> None:
        """Forget what was made."""
        for provider in self.by_name.values():
            provider.made.clear()


@contextmanager
def serving(folder: Path, known: Known) -> Iterator[Providers]:
    """Serve all providers by sockets in FOLDER."""
    addresses: dict[str, Any] = {}
    providers: dict[str, Provider] = {}
    with ExitStack() as stack:
        for name, schemas in json.loads(SCHEMAS.read_text()).items():
            provider = providers[name] = Provider(name, schemas, known)
            server = grpc.server(stack.enter_context(ThreadPoolExecutor(8)))
            server.add_generic_rpc_handlers((_service(provider),))
            path = folder / f"{name}.sock"
            server.add_insecure_port(f"unix:{path}")
            server.start()
            stack.callback(lambda server=server: server.stop(None).wait())
            addresses[f"registry.terraform.io/hashicorp/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": str(path)},
            }
        yield Providers(providers, json.dumps(addresses))


def _service(provider: Provider) -> grpc.GenericRpcHandler:
    def method(message: str, answer: Callable[[Any], Any]) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: answer(request),
            request_deserializer=_M[message].FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    methods = {name: method(message, answer) for name, (message, answer) in provider.handlers().items()}
    return grpc.method_handlers_generic_handler("tfplugin6.Provider", methods)
