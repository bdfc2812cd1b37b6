# SPDX-License-Identifier: Apache-2.0
"""Instance templates, by Google's own client."""

from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import compute_v1

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.computing import Computing


@pytest.fixture
def computing(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


def wanted(name: str = "app", source: str = "global/images/image", **fields: Any) -> compute_v1.InstanceTemplate:
    disk = compute_v1.AttachedDisk(
        boot=True, initialize_params=compute_v1.AttachedDiskInitializeParams(source_image=source)
    )
    properties: dict[str, Any] = {
        "machine_type": "e2-small",
        "disks": [disk],
        "network_interfaces": [compute_v1.NetworkInterface(network="global/networks/default")],
        **fields,
    }
    return compute_v1.InstanceTemplate(name=name, properties=compute_v1.InstanceProperties(**properties))


def insert(computing: Computing, template: compute_v1.InstanceTemplate) -> None:
    client = computing.session.instance_templates
    computing.done(client.insert_unary(project=computing.project, instance_template_resource=template, retry=None))


def names(computing: Computing, **asked: Any) -> list[str]:
    request = compute_v1.AggregatedListInstanceTemplatesRequest(project=computing.project, **asked)
    found = computing.session.instance_templates.aggregated_list(request=request, retry=None)
    return [one.name for _, scope in found for one in scope.instance_templates]


def test_a_template_is_made_shown_and_deleted(computing: Computing) -> None:
    computing.image(family="stable")
    insert(computing, wanted())
    insert(computing, wanted("moving", "global/images/family/stable"))
    client = computing.session.instance_templates
    shown = client.get(project=computing.project, instance_template="app")
    [disk] = shown.properties.disks
    place = f"https://www.googleapis.com/compute/v1/projects/{computing.project}/global/images"
    assert disk.initialize_params.source_image == f"{place}/image"
    moving = client.get(project=computing.project, instance_template="moving")
    assert moving.properties.disks[0].initialize_params.source_image == f"{place}/family/stable"
    assert names(computing) == ["app", "moving"]
    assert names(computing, filter='name = "app"') == ["app"]
    assert names(computing, max_results=1) == ["app", "moving"]
    with pytest.raises(Conflict):
        insert(computing, wanted())
    computing.done(client.delete_unary(project=computing.project, instance_template="app", retry=None))
    assert names(computing) == ["moving"]
    for call in (client.get, client.delete_unary):
        with pytest.raises(NotFound):
            call(project=computing.project, instance_template="app", retry=None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"machine_type": ""}, "machineType"),
        ({"machine_type": "zones/us-central1-a/machineTypes/e2-small"}, "machineType"),
        ({"disks": []}, "disks"),
        ({"disks": [compute_v1.AttachedDisk()]}, "Boot disk"),
        ({"disks": [compute_v1.AttachedDisk(boot=True)]}, "Source image"),
        ({"network_interfaces": []}, "network interface"),
    ],
)
def test_what_is_no_template(computing: Computing, fields: dict[str, Any], words: str) -> None:
    computing.image()
    with pytest.raises(BadRequest, match=words):
        insert(computing, wanted(**fields))


def test_images_that_cannot_be_used(computing: Computing) -> None:
    with pytest.raises(NotFound):
        insert(computing, wanted())
    computing.image()
    status = compute_v1.DeprecationStatus(state="OBSOLETE")
    computing.done(
        computing.images.deprecate_unary(
            project=computing.project, image="image", deprecation_status_resource=status, retry=None
        )
    )
    with pytest.raises(BadRequest, match="OBSOLETE"):
        insert(computing, wanted())
