# SPDX-License-Identifier: Apache-2.0
"""What holds an image: families and instance templates."""

import pytest
from google.cloud import compute_v1

from lkcloud.errors import Refused
from lkcloud.provider import Hold, Image
from lkcloud_gcp import images, references
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import hold
from tests.gcp.pushing import counted, refuse


def held(session: Session, *names: str) -> list[Hold]:
    found = [images.find(session, name) for name in names]
    return list(references.holds(session, [image for image in found if isinstance(image, Image)]))


def template(session: Session, name: str, source: str) -> None:
    """Make an instance template whose machines boot from SOURCE."""
    disk = compute_v1.AttachedDisk(
        boot=True, initialize_params=compute_v1.AttachedDiskInitializeParams(source_image=source)
    )
    properties = compute_v1.InstanceProperties(
        machine_type="e2-small",
        disks=[disk],
        network_interfaces=[compute_v1.NetworkInterface(network="global/networks/default")],
    )
    wanted = compute_v1.InstanceTemplate(name=name, properties=properties)
    operation = session.instance_templates.insert_unary(
        project=session.project, instance_template_resource=wanted, retry=None
    )
    session.global_operations.wait(project=session.project, operation=operation.name)


def test_nothing_holds_what_nobody_uses(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp)
    assert held(session, "image") == []
    gcp.traffic.clear()
    assert held(session) == []
    assert gcp.traffic.operations() == []


def test_a_family_leads_to_its_newest_image(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp, "old", family="stable")
    hold(gcp, "new", family="stable")
    hold(gcp, "other", family="beta")
    gcp.holdings.engine.images["old"].created = gcp.holdings.engine.images["new"].created.replace(year=2025)
    assert held(session, "old") == []
    assert held(session, "old", "new", "other") == [
        Hold("other", "is what the family beta leads to", leads=True),
        Hold("new", "is what the family stable leads to", leads=True),
    ]
    assert counted(gcp, "images.getFromFamily") == 3


def test_templates_use_an_image(gcp: GcpStandIn, session: Session) -> None:
    gcp.windows.page_size = 1
    hold(gcp, "image")
    hold(gcp, "other", family="stable")
    template(session, "app", f"projects/{session.project}/global/images/image")
    template(session, "web", "global/images/image")
    template(session, "moving", "global/images/family/stable")
    assert held(session, "image", "other") == [
        Hold("other", "is what the family stable leads to", leads=True),
        Hold("image", "is used by the instance template app, web"),
    ]


@pytest.mark.parametrize("operation", ["images.getFromFamily", "instanceTemplates.aggregatedList"])
def test_who_may_not_look_spares_nothing_unseen(gcp: GcpStandIn, session: Session, operation: str) -> None:
    hold(gcp, family="stable")
    refuse(gcp, operation, ApiError(403, "forbidden", "Required 'compute.x.list' permission for 'projects/p'"))
    with pytest.raises(Refused) as raised:
        held(session, "image")
    assert "compute.x.list" in raised.value.hint
