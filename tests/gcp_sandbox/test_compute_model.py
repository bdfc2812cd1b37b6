# SPDX-License-Identifier: Apache-2.0
"""Every answer of the stand-in's Compute Engine is what the API's model says, down to names and types of fields."""

import json
from pathlib import Path

import google.auth.transport.requests
import pytest
from google.cloud import compute_v1

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.computing import ZONE, Computing, needs_qemu


@pytest.fixture
def engine(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


@needs_qemu
def test_answers_have_no_field_that_the_model_lacks(engine: Computing) -> None:
    engine.image(
        family="things",
        guest_os_features=[{"type_": "UEFI_COMPATIBLE"}],
        labels={"a": "b"},
        shielded_instance_initial_state={"pk": {"content": "QUFB", "file_type": "BIN"}},
        image_encryption_key={"kms_key_name": "projects/p/locations/us/keyRings/r/cryptoKeys/k"},
    )
    status = compute_v1.DeprecationStatus(state="DEPRECATED", replacement="global/images/newer")
    engine.done(
        engine.images.deprecate_unary(project=engine.project, image="image", deprecation_status_resource=status)
    )
    engine.done(engine.run(service_accounts=[{"email": "a@b.c", "scopes": ["s"]}], tags={"items": ["t"]}))
    engine.failed(engine.insert("other", "https://storage.googleapis.com/none/none.tar.gz"))
    http = google.auth.transport.requests.AuthorizedSession(engine.session.credentials)
    address = engine.cloud.environment()["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"]
    for path, model in {
        "": "Project",
        "global/images": "ImageList",
        "global/images/image": "Image",
        "global/images/image/getIamPolicy": "Policy",
        "global/networks/default": "Network",
        "global/operations": "OperationList",
        "zones": "ZoneList",
        f"zones/{ZONE}": "Zone",
        f"zones/{ZONE}/disks": "DiskList",
        f"zones/{ZONE}/instances": "InstanceList",
        f"zones/{ZONE}/instances/vm": "Instance",
        f"zones/{ZONE}/instances/vm/serialPort": "SerialPortOutput",
        f"zones/{ZONE}/machineTypes/e2-small": "MachineType",
        f"zones/{ZONE}/operations": "OperationList",
    }.items():
        answer = http.get(f"{address}projects/{engine.project}/{path}".rstrip("/"))
        assert answer.status_code == 200, path
        getattr(compute_v1, model).from_json(answer.text, ignore_unknown_fields=False)
        # 64-bit numbers are texts, as in any JSON of Google's APIs.
        for name in ("id", "diskSizeGb", "archiveSizeBytes", "sizeGb", "targetId", "start", "next"):
            for item in [answer.json(), *answer.json().get("items", [])]:
                assert isinstance(item.get(name, ""), str), (path, name)
    assert json.loads(http.get(f"{address}projects/{engine.project}/global/images/none").text)["error"]["code"] == 404
