# SPDX-License-Identifier: Apache-2.0
"""Instance templates: what an instance group makes its machines from. The sandbox keeps them, and makes none of it.

https://cloud.google.com/compute/docs/reference/rest/v1/instanceTemplates and the texts of google-cloud-compute's model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lkcloud_gcp.sandbox.compute_call import Call, Handler, Result, exists, invalid, link, not_found, required
from lkcloud_gcp.sandbox.compute_lists import parse_filter
from lkcloud_gcp.sandbox.compute_operations import Operation, replayed, rfc3339, started
from lkcloud_gcp.sandbox.engine import new_id
from lkcloud_gcp.sandbox.image_rules import check_name
from lkcloud_gcp.sandbox.instance_rules import boot_image
from lkcloud_gcp.sandbox.places import REGIONS, machine_type

_MOST = 500


@dataclass(frozen=True, slots=True)
class Template:
    """An instance template; SENT is what was asked for as its properties, with images by their full URLs."""

    name: str
    description: str
    sent: Mapping[str, Any]
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def place(self) -> str:
        """Where it is: `global/instanceTemplates/NAME`."""
        return _place(self.name)

    def described(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "kind": "compute#instanceTemplate",
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "creationTimestamp": rfc3339(self.created),
            "selfLink": link(self.place),
            "properties": dict(self.sent),
        }


def _place(name: str) -> str:
    return f"global/instanceTemplates/{name}"


def _insert(call: Call) -> Result:
    call.check_query("requestId")
    body = call.body("InstanceTemplate")
    if earlier := replayed(call):
        return earlier.described()
    if not body.get("name"):
        raise required("resource.name")
    name = check_name(str(body["name"]), "resource.name")
    properties = _properties(call, body.get("properties") or {})
    if name in call.engine.templates:
        raise exists(_place(name))
    template = Template(name, str(body.get("description") or ""), properties)
    call.engine.templates[name] = template

    def work(operation: Operation) -> None:
        del operation

    return started(call, "insert", template, work)


def _properties(call: Call, sent: Mapping[str, Any]) -> dict[str, Any]:
    where = "resource.properties"
    kind = str(sent.get("machineType") or "")
    if not kind:
        raise required(f"{where}.machineType")
    # InstanceProperties, machine_type: "This field only accepts a machine type name".
    if machine_type(kind) is None:
        raise invalid(f"{where}.machineType", kind, "The referenced resource does not exist.")
    disks = [dict(disk) for disk in sent.get("disks") or []]
    if not disks:
        raise invalid(f"{where}.disks", "", "No disks are specified.")
    if not disks[0].get("boot"):
        raise invalid(f"{where}.disks[0]", str(disks[0]), "Boot disk must be the first disk attached to the instance.")
    if not sent.get("networkInterfaces"):
        raise invalid(f"{where}.networkInterfaces", "", "At least one network interface is required.")
    for number, disk in enumerate(disks):
        parameters = dict(disk.get("initializeParams") or {})
        url = str(parameters.get("sourceImage") or "")
        if not url:
            raise invalid(f"{where}.disks[{number}].initializeParams", "", "Source image must be specified.")
        image = boot_image(call, url, f"{where}.disks[{number}].initializeParams.sourceImage")
        # A family stays one: each machine takes what it leads to then.
        parameters["sourceImage"] = link(url[url.index("global/") :] if "/family/" in url else image.place)
        disk["initializeParams"] = parameters
    return {**sent, "disks": disks}


def _find(call: Call) -> Template:
    found = call.engine.templates.get(call.name)
    if found is None:
        raise not_found(_place(call.name))
    return found


def _get(call: Call) -> Result:
    call.check_query("view")
    return _find(call).described()


def _delete(call: Call) -> Result:
    call.check_query("requestId")
    if earlier := replayed(call):
        return earlier.described()
    template, engine, cloud = _find(call), call.engine, call.cloud

    def work(operation: Operation) -> None:
        del operation
        with cloud.lock:
            engine.templates.pop(template.name, None)

    return started(call, "delete", template, work)


def _aggregated(call: Call) -> Result:
    """Return a page of templates by scope: the sandbox has global ones only."""
    call.check_query("filter", "maxResults", "pageToken", "returnPartialSuccess", "includeAllScopes")
    passes = parse_filter(call.query.get("filter", ""))
    found = [one for _, template in sorted(call.engine.templates.items()) if passes(one := template.described())]
    size = min(call.number("maxResults", _MOST, 0, _MOST) or _MOST, call.cloud.windows.page_size)
    token = call.query.get("pageToken") or "0"
    if not token.isdecimal():
        raise invalid("pageToken", token, "Invalid pageToken")
    begin = int(token)
    page = found[begin : begin + size]
    scopes: dict[str, Any] = {f"regions/{region}": {"warning": _nothing(f"regions/{region}")} for region in REGIONS}
    scopes["global"] = {"instanceTemplates": page} if page else {"warning": _nothing("global")}
    answer: dict[str, Any] = {
        "kind": "compute#instanceTemplateAggregatedList",
        "selfLink": link("aggregated/instanceTemplates"),
        "items": scopes,
    }
    if begin + size < len(found):
        answer["nextPageToken"] = str(begin + size)
    return answer


def _nothing(scope: str) -> dict[str, Any]:
    message = f"There are no results for scope '{scope}' on this page."
    return {"code": "NO_RESULTS_ON_PAGE", "message": message, "data": [{"key": "scope", "value": scope}]}


HANDLERS: dict[str, Handler] = {
    "instanceTemplates.insert": _insert,
    "instanceTemplates.get": _get,
    "instanceTemplates.delete": _delete,
    "instanceTemplates.aggregatedList": _aggregated,
}
