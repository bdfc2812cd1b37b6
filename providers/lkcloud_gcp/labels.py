# SPDX-License-Identifier: Apache-2.0
"""Labels of images, put and taken away one at a time.

All are written at once, with the fingerprint of those that were read: https://cloud.google.com/compute/docs/labeling-resources
"""

from lkcloud.errors import LkcloudError, NotFound
from lkcloud.polling import poll
from lkcloud_gcp import images, operations
from lkcloud_gcp.errors import fault
from lkcloud_gcp.session import Session


def put(session: Session, name: str, key: str, value: str) -> None:
    """Let the image called NAME have the label KEY with VALUE, "" = have no such label; others stay as they are.

    Raises NotFound if there is no such image.
    """
    poll(
        lambda: _put(session, name, key, value),
        what=f"gcp: the labels of {name}",
        every=0.5,
        limit=60.0,
        hint="others change the image's labels at the same time: run the same command again",
    )


def _put(session: Session, name: str, key: str, value: str) -> bool | None:
    """Write the labels; None if somebody else, or an attempt of ours before, has changed them in the meantime."""
    from google.cloud import compute_v1

    shown = images.get(session, name)
    if shown is None:
        raise NotFound(f"gcp: there is no image {name}", hint="check the name and --project (`lkcloud list gcp`)")
    if shown.labels.get(key, "") == value:
        return True
    labels = {other: said for other, said in shown.labels.items() if other != key} | ({key: value} if value else {})
    request = compute_v1.SetLabelsImageRequest(
        project=session.project,
        resource=name,
        global_set_labels_request_resource=compute_v1.GlobalSetLabelsRequest(
            labels=labels, label_fingerprint=shown.label_fingerprint
        ),
    )
    doing = f"labelling {name}"
    try:
        operation = session.call(doing, lambda **how: session.images.set_labels_unary(request=request, **how))
        operations.wait(session, operation, doing=doing)
    except LkcloudError as error:
        answer = fault(error.__cause__)
        if answer is not None and (answer.status == 412 or answer.reason == "CONDITION_NOT_MET"):
            return None
        raise
    return True
