# SPDX-License-Identifier: Apache-2.0
"""Lists of Compute Engine: filters, order, pages; and operations."""

from pathlib import Path

import pytest
from google.cloud import compute_v1

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.computing import DONE, Computing, refused


@pytest.fixture
def engine(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


@pytest.fixture
def three(engine: Computing) -> Computing:
    """Return an engine with three images."""
    source = engine.small()
    operations = [
        engine.insert("one", source, labels={"lkcloud-digest": "aaa", "n": "1"}, family="f"),
        engine.insert("two", source, labels={"lkcloud-digest": "bbb", "n": "2"}, description="two words"),
        engine.insert("three", source, labels={"x": ""}, guest_os_features=[{"type_": "GVNIC"}, {"type_": "IDPF"}]),
    ]
    for operation in operations:
        engine.done(operation)
    return engine


def names(engine: Computing, **parameters: object) -> list[str]:
    request = compute_v1.ListImagesRequest(project=engine.project, **parameters)
    return [image.name for image in engine.images.list(request=request, retry=None)]


def test_filters(three: Computing) -> None:
    for text, expected in {
        "labels.lkcloud-digest=aaa": ["one"],
        "labels.lkcloud-digest = aaa": ["one"],
        "labels.lkcloud-digest:*": ["one", "two"],
        "labels.x:*": ["three"],
        "labels.none:*": [],
        'name="two"': ["two"],
        "name != two": ["one", "three"],
        "family = f": ["one"],
        "(labels.lkcloud-digest:*) (labels.n = 2)": ["two"],
        "labels.n = 1 AND name = two": [],
        "(name = one) OR (name = two)": ["one", "two"],
        "(name = one) OR (name = two) AND (labels.n = 2)": ["two"],
        "NOT name = one": ["three", "two"],
        "labels.n > 1": ["two"],
        "labels.n <= 1": ["one"],
        "guestOsFeatures[].type:IDPF": ["three"],
        "guestOsFeatures.type = GVNIC": ["three"],
        "description:words": ["two"],
        "description:'two words'": ["two"],
        "description = two": [],
        "diskSizeGb = 1": ["one", "three", "two"],
        "name eq t.*": ["three", "two"],
        "name ne t.*": ["one"],
        "name eq t": [],
        'name eq "(one|two)"': ["one", "two"],
        "(name eq t.*) (name ne .*ee)": ["two"],
        f'selfLink = "{three.get("one").self_link}"': ["one"],
        f"selfLink eq {three.get('one').self_link}": ["one"],
        "": ["one", "three", "two"],
    }.items():
        assert names(three, filter=text) == expected, text


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name =",
        "= one",
        "name == one",
        "(name = one",
        "name = one)",
        "name ~ one",
        "name = two words",
        "name = one AND",
        "(name eq one) (family eq f)",
        "name eq [",
        "name = https://example.com",
        "name = 'one",
    ],
)
def test_malformed_filters(engine: Computing, text: str) -> None:
    refused(400, "invalid", names, engine, filter=text)


def test_order_and_pages(three: Computing) -> None:
    assert names(three, max_results=1) == ["one", "three", "two"]
    assert names(three, max_results=2, filter="labels.lkcloud-digest:*") == ["one", "two"]
    made = sorted((three.get(name).creation_timestamp, name) for name in ("one", "two", "three"))
    newest = names(three, order_by="creationTimestamp desc", max_results=1)
    assert [three.get(name).creation_timestamp for name in newest] == [when for when, _ in reversed(made)]
    three.cloud.windows.page_size = 2
    assert names(three) == ["one", "three", "two"]
    three.cloud.traffic.clear()
    assert names(three, max_results=500) == ["one", "three", "two"]
    assert three.cloud.traffic.operations() == ["images.list", "images.list"]
    refused(400, "invalid", names, three, max_results=501)
    refused(400, "invalid", names, three, page_token="nonsense")
    refused(400, "invalid", names, three, order_by="family")


def test_a_page_goes_on_where_the_last_one_ended_whatever_is_deleted(three: Computing) -> None:
    pages = three.images.list(request=compute_v1.ListImagesRequest(project=three.project, max_results=2)).pages
    assert [image.name for image in next(pages).items] == ["one", "three"]
    three.done(three.images.delete_unary(project=three.project, image="three"))
    assert [image.name for image in next(pages).items] == ["two"]


def test_operations(engine: Computing) -> None:
    source = engine.small()
    engine.cloud.windows.image_import = 0.5
    begun = engine.insert("image", source)
    operations = engine.session.global_operations
    assert (begun.operation_type, begun.target_link.rpartition("/")[2]) == ("insert", "image")
    assert begun.status != DONE
    assert begun.progress == 0
    assert begun.user.startswith("lkcloud@")
    assert begun.insert_time
    assert not begun.end_time
    assert operations.get(project=engine.project, operation=begun.name).status != DONE
    by_number = operations.get(project=engine.project, operation=str(begun.id))
    assert by_number.name == begun.name
    ended = operations.wait(project=engine.project, operation=begun.name)
    assert (ended.status, ended.progress) == (DONE, 100)
    assert ended.start_time >= ended.insert_time
    assert ended.end_time > ended.start_time
    engine.done(engine.images.delete_unary(project=engine.project, image="image"))

    def found(text: str) -> list[str]:
        request = compute_v1.ListGlobalOperationsRequest(project=engine.project, filter=text)
        return [operation.name for operation in operations.list(request=request)]

    assert found(f'(targetId = {begun.target_id}) (operationType = "insert")') == [begun.name]
    assert found(f'targetLink = "{begun.target_link}" AND operationType = insert') == [begun.name]
    assert len(found(f'targetLink = "{begun.target_link}"')) == 2
    assert found("status != DONE") == []
    operations.delete(project=engine.project, operation=begun.name)
    refused(404, "notFound", operations.get, project=engine.project, operation=begun.name, retry=None)
    refused(404, "notFound", operations.wait, project=engine.project, operation="none", retry=None)


def test_wait_gives_up_and_says_how_it_stands(engine: Computing) -> None:
    source = engine.small()
    engine.cloud.windows.image_import, engine.cloud.windows.operation_wait = 0.6, 0.05
    begun = engine.insert("image", source)
    waiting = engine.session.global_operations.wait(project=engine.project, operation=begun.name)
    assert waiting.status == compute_v1.Operation.Status.RUNNING
    refused(
        400,
        "resourceNotReady",
        engine.session.global_operations.delete,
        project=engine.project,
        operation=begun.name,
        retry=None,
    )
    engine.done(waiting)


def test_nothing_goes_on_after_a_reset(engine: Computing) -> None:
    source = engine.small()
    engine.cloud.windows.image_import = 30
    begun = engine.insert("image", source)
    engine.cloud.reset()
    engine.cloud.windows.image_import = 0
    assert names(engine) == []
    refused(404, "notFound", engine.session.global_operations.get, project=engine.project, operation=begun.name)
